//! Which reads of a unit no binding can reach.
//!
//! A state holds, for each variable of the unit, whether *some* path binds it up to here. Where paths
//! meet, states are united, so that a variable missing from a state is unbound on every path. Loops
//! are repeated until their state stays the same; a unit that takes too long is given up, and nothing
//! is said of it.

use super::bind::{Binder, Event, GUARDED, LATER, NONE, Op, ScopeKind, Unit, VarId};

/// A read that no binding of its variable reaches.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnboundRead {
    pub variable: VarId,
    pub node: u32,
}

/// Times the events of a unit may be walked, on average, before loops in loops are given up.
const ROUNDS: usize = 16;
/// Words of state the analysis of a unit may touch.
const WORK: usize = 50_000_000;

/// Words that the states of nested constructs may take together.
const ARENA: usize = 2_000_000;

/// Which state of a frame: each frame owns four.
#[derive(Clone, Copy)]
enum Set {
    /// The state with which the construct is entered; of a loop: its head.
    Entry = 0,
    /// Union over the branches that have ended; of a loop: over its `break`s.
    Ended = 1,
    /// Of a loop: the state in which it ends by itself. Of a `try`: everything bound so far in it.
    Exit = 2,
    /// Of a loop: union over the ways back. Of a `try`: the state in which a handler starts.
    Back = 3,
}

struct Frame {
    op: Op,
    /// Where the frame's states start in the arena.
    at: usize,
    /// The event that opened it.
    event: usize,
    /// Findings before it.
    found: usize,
    live: bool,
    ended_live: bool,
    exit_live: bool,
    back_live: bool,
    /// Whether a `break` or `continue` leaves through it.
    jumped: bool,
}

/// What a read may see, resolved once for all rounds.
pub(super) struct Flow<'f, 'a, 't> {
    binder: &'f Binder<'a, 't>,
    /// Variable of each read, by event; [`NONE`] where nothing is to be checked.
    resolved: &'f [VarId],
    unit: u32,
    /// Words of one bit set; a state is two: bound, and *not yet reported on this path*.
    words: usize,
    current: Vec<u64>,
    live: bool,
    arena: Vec<u64>,
    frames: Vec<Frame>,
    found: Vec<UnboundRead>,
}

fn unite(into: &mut [u64], from: &[u64]) -> bool {
    let mut grew = false;
    for (a, b) in into.iter_mut().zip(from) {
        grew |= *b & !*a != 0;
        *a |= b;
    }
    grew
}

impl<'f, 'a, 't> Flow<'f, 'a, 't> {
    /// The unbound reads of a unit, in the order of evaluation.
    pub fn run(binder: &'f Binder<'a, 't>, resolved: &'f [VarId], unit: u32) -> Vec<UnboundRead> {
        let Unit { start, end, slots } = binder.units[unit as usize];
        let words = (slots as usize).div_ceil(64).max(1);
        let mut this = Self {
            binder,
            resolved,
            unit,
            words,
            current: vec![0; words * 2],
            live: true,
            arena: Vec::new(),
            frames: Vec::new(),
            found: Vec::new(),
        };
        this.current[words..].fill(u64::MAX);
        let steps = ((end - start) * ROUNDS + 4096).min(WORK / words);
        let mut at = start;
        for _ in 0..steps {
            if at >= end {
                return this.found;
            }
            if this.arena.len() > ARENA {
                return Vec::new();
            }
            at = this.step(at, binder.events[at]);
        }
        if at >= end { this.found } else { Vec::new() }
    }

    fn open(&mut self, op: Op, event: usize) {
        let at = self.arena.len();
        self.arena.extend_from_slice(&self.current);
        self.arena.resize(at + self.words * 8, 0);
        self.frames.push(Frame {
            op,
            at,
            event,
            found: self.found.len(),
            live: self.live,
            ended_live: false,
            exit_live: false,
            back_live: false,
            jumped: false,
        });
    }

    fn set(&self, frame: usize, set: Set) -> std::ops::Range<usize> {
        let from = self.frames[frame].at + set as usize * self.words * 2;
        from..from + self.words * 2
    }

    /// Adds the current state to a set of a frame; whether the set grew.
    fn add(&mut self, frame: usize, set: Set) -> bool {
        let range = self.set(frame, set);
        unite(&mut self.arena[range], &self.current)
    }

    fn load(&mut self, frame: usize, set: Set) {
        let range = self.set(frame, set);
        self.current.copy_from_slice(&self.arena[range]);
    }

    fn copy(&mut self, frame: usize, from: Set, to: Set) -> bool {
        let (from, to) = (self.set(frame, from), self.set(frame, to));
        let mut grew = false;
        for (a, b) in from.zip(to) {
            grew |= self.arena[a] & !self.arena[b] != 0;
            self.arena[b] |= self.arena[a];
        }
        grew
    }

    fn top(&self) -> Option<usize> {
        self.frames.len().checked_sub(1)
    }

    fn end_branch(&mut self, frame: usize) {
        if self.live {
            self.add(frame, Set::Ended);
            self.frames[frame].ended_live = true;
        }
    }

    /// Closes the top frame; what was bound in a `try` or `with` was bound in the one around it too.
    fn close(&mut self) {
        let Some(frame) = self.top() else { return };
        if matches!(self.frames[frame].op, Op::Try | Op::With)
            && let Some(outer) = self.protecting(frame)
        {
            let (from, to) = (self.set(frame, Set::Exit), self.set(outer, Set::Exit));
            for (a, b) in from.zip(to) {
                self.arena[b] |= self.arena[a];
            }
        }
        self.arena.truncate(self.frames[frame].at);
        self.frames.pop();
    }

    /// The innermost `try` or `with` below a frame.
    fn protecting(&self, below: usize) -> Option<usize> {
        (self.frames[..below].iter()).rposition(|f| matches!(f.op, Op::Try | Op::With))
    }

    fn enclosing_loop(&self) -> Option<usize> {
        self.frames.iter().rposition(|f| f.op == Op::Loop)
    }

    fn step(&mut self, at: usize, event: Event) -> usize {
        match event.op {
            Op::Read => self.read(at, event),
            Op::Bind | Op::Unbind => self.assign(event),
            Op::Leave => self.live = false,
            Op::Break | Op::Continue => self.jump(event.op),
            Op::Split | Op::Loop => self.open(event.op, at),
            Op::Try | Op::With => {
                self.open(event.op, at);
                if let Some(frame) = self.top() {
                    self.copy(frame, Set::Entry, Set::Exit);
                }
            }
            _ => {
                // A unit's constructs are closed by the walk that opened them.
                if let Some(frame) = self.top() {
                    return self.construct(at, event.op, frame);
                }
            }
        }
        at + 1
    }

    fn construct(&mut self, at: usize, op: Op, frame: usize) -> usize {
        match op {
            Op::Next => {
                self.end_branch(frame);
                self.load(frame, Set::Entry);
                self.live = self.frames[frame].live;
            }
            Op::Refine if self.live => {
                self.add(frame, Set::Entry);
            }
            Op::Join | Op::JoinExhaustive => {
                self.end_branch(frame);
                if op == Op::Join {
                    self.load(frame, Set::Entry);
                    self.live = self.frames[frame].live;
                    self.end_branch(frame);
                }
                self.load(frame, Set::Ended);
                self.live = self.frames[frame].ended_live;
                self.close();
            }
            Op::LoopTest if self.live => {
                self.add(frame, Set::Exit);
                self.frames[frame].exit_live = true;
            }
            Op::LoopBack => {
                if self.live {
                    self.add(frame, Set::Back);
                    self.frames[frame].back_live = true;
                }
                if self.frames[frame].back_live && self.copy(frame, Set::Back, Set::Entry) {
                    let (event, found) = (self.frames[frame].event, self.frames[frame].found);
                    self.found.truncate(found);
                    self.load(frame, Set::Entry);
                    self.live = self.frames[frame].live;
                    return event + 1;
                }
                self.load(frame, Set::Exit);
                self.live = self.frames[frame].exit_live;
            }
            Op::LoopEnd => {
                if self.frames[frame].ended_live {
                    if !self.live {
                        self.current.fill(0);
                    }
                    let range = self.set(frame, Set::Ended);
                    unite(&mut self.current, &self.arena[range]);
                    self.live = true;
                }
                self.close();
            }
            Op::TryBodyEnd => {
                self.copy(frame, Set::Exit, Set::Back);
            }
            Op::Handler => {
                self.end_branch(frame);
                self.load(frame, Set::Back);
                self.live = self.frames[frame].live;
            }
            Op::Finally => {
                self.end_branch(frame);
                // `finally` may start from anywhere in the statement.
                self.load(frame, Set::Exit);
                self.copy(frame, Set::Exit, Set::Back);
                let exit = self.set(frame, Set::Exit);
                self.arena[exit].fill(0);
                self.live = self.frames[frame].live;
            }
            Op::FinallyEnd => {
                if self.frames[frame].jumped
                    && self.live
                    && let Some(around) = self.enclosing_loop()
                {
                    self.add(around, Set::Ended);
                    self.add(around, Set::Back);
                    self.frames[around].ended_live = true;
                    self.frames[around].back_live = true;
                }
                // Only the paths that ended their branch go on, with what `finally` binds.
                let live = self.live && self.frames[frame].ended_live;
                self.copy(frame, Set::Exit, Set::Ended);
                self.copy(frame, Set::Back, Set::Exit);
                self.load(frame, Set::Ended);
                self.frames[frame].ended_live = false;
                let ended = self.set(frame, Set::Ended);
                self.arena[ended].fill(0);
                self.live = live;
            }
            Op::TryEnd => {
                self.end_branch(frame);
                self.load(frame, Set::Ended);
                self.live = self.frames[frame].ended_live;
                self.close();
            }
            Op::WithEnd => {
                // The manager may swallow an exception raised anywhere in the body.
                self.add(frame, Set::Exit);
                self.load(frame, Set::Exit);
                self.live = self.frames[frame].live;
                self.close();
            }
            _ => {}
        }
        at + 1
    }

    fn jump(&mut self, op: Op) {
        let Some(target) = self.enclosing_loop() else {
            return;
        };
        if self.live {
            if op == Op::Break {
                self.add(target, Set::Ended);
                self.frames[target].ended_live = true;
            } else {
                self.add(target, Set::Back);
                self.frames[target].back_live = true;
            }
            for frame in &mut self.frames[target..] {
                frame.jumped = true;
            }
        }
        self.live = false;
    }

    fn assign(&mut self, event: Event) {
        let variable = &self.binder.variables[event.what as usize];
        if variable.unit != self.unit {
            return;
        }
        let (word, bit) = (
            variable.slot as usize / 64,
            1_u64 << (variable.slot as usize % 64),
        );
        if event.op == Op::Unbind {
            self.current[word] &= !bit;
            return;
        }
        // After an unbound read of the name, its path does not get here.
        if self.current[self.words + word] & bit == 0 {
            return;
        }
        self.current[word] |= bit;
        if let Some(frame) = self.protecting(self.frames.len()) {
            let at = self.set(frame, Set::Exit).start;
            self.arena[at + word] |= bit;
            self.arena[at + self.words + word] |= bit;
        }
    }

    fn is_bound(&self, variable: VarId) -> bool {
        let variable = &self.binder.variables[variable as usize];
        variable.foreign
            || variable.unit != self.unit
            || self.current[variable.slot as usize / 64] >> (variable.slot % 64) & 1 == 1
    }

    fn read(&mut self, at: usize, event: Event) {
        let id = self.resolved[at];
        if id == NONE || !self.live || event.flags & (GUARDED | LATER) != 0 || self.is_bound(id) {
            return;
        }
        let variable = &self.binder.variables[id as usize];
        if self.binder.scopes[variable.scope as usize].kind == ScopeKind::Class
            && self.is_bound_around(event, variable.scope)
        {
            return;
        }
        let (word, bit) = (
            variable.slot as usize / 64,
            1_u64 << (variable.slot as usize % 64),
        );
        if self.current[self.words + word] & bit == 0 {
            return;
        }
        self.current[self.words + word] &= !bit;
        self.found.push(UnboundRead {
            variable: id,
            node: event.node,
        });
    }

    /// A class body that has not bound a name yet reads the one around it.
    fn is_bound_around(&self, event: Event, class: u32) -> bool {
        let around = self.binder.scopes[class as usize].parent;
        self.binder
            .lookup(around)
            .filter(|&scope| self.binder.scopes[scope as usize].kind != ScopeKind::Class)
            .find_map(|scope| self.binder.variable(scope, event.what))
            .is_some_and(|outer| self.is_bound(outer))
    }
}
