//! Leaves out of a finished trace what no event refers to: most values, guards and loops come from
//! looks at loops that record nothing, and from branches that were merged away.

use super::document::{EntryTrace, Guard, Kind};
use super::value::{Value, ValueId, Values};

/// Every value and loop that a value refers to, replaced by what the functions give.
fn mapped(
    value: &Value,
    id: &mut dyn FnMut(ValueId) -> ValueId,
    number: &mut dyn FnMut(u32) -> u32,
) -> Value {
    macro_rules! all {
        ($ids:expr) => {
            $ids.iter().map(|&i| id(i)).collect()
        };
    }
    match value {
        Value::Config {
            root,
            path,
            version,
        } => Value::Config {
            root: *root,
            path: all!(path),
            version: *version,
        },
        Value::Has {
            root,
            path,
            version,
        } => Value::Has {
            root: *root,
            path: all!(path),
            version: *version,
        },
        Value::Key(of, l) => Value::Key(id(*of), number(*l)),
        Value::Element(of, l) => Value::Element(id(*of), number(*l)),
        Value::Index(of, l) => Value::Index(id(*of), number(*l)),
        Value::Each(of, l) => Value::Each(id(*of), number(*l)),
        Value::Template(parts) => Value::Template(all!(parts)),
        Value::List(items, open) => Value::List(all!(items), *open),
        Value::Tuple(items, open) => Value::Tuple(all!(items), *open),
        Value::Set(items, open) => Value::Set(all!(items), *open),
        Value::Dict(items, open) => {
            let items = items.iter().map(|&(k, v)| (id(k), id(v))).collect();
            Value::Dict(items, *open)
        }
        Value::Star(of) => Value::Star(id(*of)),
        Value::Bound(of, function) => Value::Bound(id(*of), *function),
        Value::Super(class, of) => Value::Super(*class, id(*of)),
        Value::Call(callee, args, named, event) => {
            let args = all!(args);
            let named = named.iter().map(|&(name, v)| (name, id(v))).collect();
            Value::Call(id(*callee), args, named, *event)
        }
        Value::Attribute(of, name) => Value::Attribute(id(*of), *name),
        Value::Item(of, key) => Value::Item(id(*of), id(*key)),
        Value::Slice(parts) => Value::Slice(parts.map(|p| p.map(&mut *id))),
        Value::Binary(op, a, b) => Value::Binary(*op, id(*a), id(*b)),
        Value::Unary(op, a) => Value::Unary(*op, id(*a)),
        Value::Compare(op, a, b) => Value::Compare(*op, id(*a), id(*b)),
        Value::Not(a) => Value::Not(id(*a)),
        Value::All(conditions) => Value::All(conditions.iter().map(|&(c, t)| (id(c), t)).collect()),
        Value::Select(test, yes, no) => Value::Select(id(*test), id(*yes), id(*no)),
        Value::Ran(l) => Value::Ran(number(*l)),
        Value::Called(l) => Value::Called(number(*l)),
        other => other.clone(),
    }
}

/// The values an event refers to.
fn event_values(kind: &mut Kind, id: &mut dyn FnMut(ValueId) -> ValueId) {
    match kind {
        Kind::Read(at, _, _, default) => {
            *at = id(*at);
            *default = default.map(&mut *id);
        }
        Kind::Write(at, value, _) | Kind::Flag(at, _, value) => {
            *at = id(*at);
            *value = id(*value);
        }
        Kind::Forget(paths) => paths.iter_mut().for_each(|p| *p = id(*p)),
        Kind::Call(_, callee, args, named) => {
            *callee = id(*callee);
            args.iter_mut().for_each(|a| *a = id(*a));
            named.iter_mut().for_each(|(_, v)| *v = id(*v));
        }
        Kind::Store(of, key, value, _) => {
            for part in [of, key, value] {
                *part = id(*part);
            }
        }
        Kind::Lookup(of, key) => {
            *of = id(*of);
            *key = id(*key);
        }
        Kind::Return(value) | Kind::Raise(value) => *value = id(*value),
        _ => {}
    }
}

/// What is still referred to.
struct Used {
    values: Vec<bool>,
    loops: Vec<bool>,
    stack: Vec<ValueId>,
}

impl Used {
    fn value(&mut self, id: ValueId) {
        if !std::mem::replace(&mut self.values[id.0 as usize], true) {
            self.stack.push(id);
        }
    }

    fn number(&mut self, number: u32, trace: &EntryTrace) {
        if !std::mem::replace(&mut self.loops[number as usize], true) {
            self.value(trace.loops[number as usize].over);
        }
    }

    /// Follows what the values on the stack refer to.
    fn close(&mut self, trace: &EntryTrace) {
        while let Some(id) = self.stack.pop() {
            let mut ids = Vec::new();
            let mut numbers = Vec::new();
            mapped(
                trace.values.get(id),
                &mut |i| {
                    ids.push(i);
                    i
                },
                &mut |n| {
                    numbers.push(n);
                    n
                },
            );
            ids.into_iter().for_each(|i| self.value(i));
            numbers.into_iter().for_each(|n| self.number(n, trace));
        }
    }
}

/// New numbers for those that are used, in the old order.
fn renumbered(used: &[bool]) -> Vec<u32> {
    let mut next = 0;
    used.iter()
        .map(|&u| {
            let number = next;
            next += u32::from(u);
            number
        })
        .collect()
}

/// Leaves out what no event refers to.
pub(super) fn compact(trace: &mut EntryTrace) {
    let mut guards = vec![false; trace.guards.len()];
    let mut used = Used {
        values: vec![false; trace.values.rows().len()],
        loops: vec![false; trace.loops.len()],
        stack: Vec::new(),
    };
    for event in &trace.events {
        let mut at = event.guard as usize;
        while !std::mem::replace(&mut guards[at], true) {
            used.value(trace.guards[at].condition);
            at = trace.guards[at].parent as usize;
        }
        let mut ids = Vec::new();
        event_values(&mut event.kind.clone(), &mut |i| {
            ids.push(i);
            i
        });
        ids.into_iter().for_each(|i| used.value(i));
        if let Kind::Loop(l) | Kind::LoopEnd(l) | Kind::Break(l) = event.kind {
            used.number(l, trace);
        }
    }
    guards[0] = true;
    used.value(trace.guards[0].condition);
    // The objects of first looks at loops have no event that made them.
    for root in trace.roots.iter().filter(|r| r.event.is_some()) {
        root.sources.iter().for_each(|&s| used.value(s));
    }
    used.close(trace);

    let numbers = renumbered(&used.values);
    let loops = renumbered(&used.loops);
    let guard_numbers = renumbered(&guards);
    let mut id = |old: ValueId| ValueId(numbers[old.0 as usize]);
    let mut number = |old: u32| loops[old as usize];
    // Values refer to earlier ones only, and are met in their old order: the numbers agree.
    let mut values = Values::default();
    for (row, _) in (trace.values.rows().iter().zip(&used.values)).filter(|(_, u)| **u) {
        values.push(mapped(row, &mut id, &mut number));
    }
    trace.values = values;
    let mut flags = guards.iter().copied();
    trace.guards.retain(|_| flags.next().unwrap_or(false));
    for Guard {
        parent, condition, ..
    } in &mut trace.guards
    {
        *parent = guard_numbers[*parent as usize];
        *condition = id(*condition);
    }
    let mut flags = used.loops.iter().copied();
    trace.loops.retain(|_| flags.next().unwrap_or(false));
    for row in &mut trace.loops {
        row.over = id(row.over);
    }
    for root in &mut trace.roots {
        if root.event.is_some() {
            root.sources.iter_mut().for_each(|s| *s = id(*s));
        } else {
            root.sources.clear();
        }
    }
    for event in &mut trace.events {
        event.guard = guard_numbers[event.guard as usize];
        event_values(&mut event.kind, &mut id);
        if let Kind::Loop(l) | Kind::LoopEnd(l) | Kind::Break(l) = &mut event.kind {
            *l = number(*l);
        }
    }
}
