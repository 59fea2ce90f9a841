use super::*;

fn on_big_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .stack_size(64 << 20)
            .spawn_scoped(scope, work)
            .expect("a thread starts")
            .join()
            .expect("the trace does not panic")
    })
}

fn traced(files: &[(&str, &str)], entry: &str) -> TraceDocument {
    let files = files
        .iter()
        .map(|&(path, text)| PythonFile {
            path,
            tree: Tree::parse(text).expect("small texts parse"),
        })
        .collect();
    on_big_stack(|| trace_package(files, &[entry.to_owned()]))
}

/// The names of the library calls of an entry with the number of conditions on their way.
fn calls(text: &str) -> Vec<(String, usize)> {
    let document = traced(&[("main.py", text)], "main");
    let entry = &document.entries[0];
    let conditions = |mut guard: u32| {
        let mut count = 0;
        while guard != 0 {
            count += 1;
            guard = entry.guards[guard as usize].parent;
        }
        count
    };
    entry
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::Call(name, ..) => Some((name.clone(), conditions(event.guard))),
            _ => None,
        })
        .collect()
}

#[test]
fn names_are_canonical() {
    let found = calls("import numpy as np\nfrom torch import nn as n\nnp.a.b()\nn.Linear(1)(2)\n");
    assert_eq!(
        found,
        [
            ("numpy.a.b".to_owned(), 0),
            ("torch.nn.Linear".to_owned(), 0),
            ("torch.nn.Linear()".to_owned(), 0)
        ]
    );
}

#[test]
fn elements_asked_for_by_name_are_events() {
    let text = "import l\nd = {'a': 1}\nd['a']\nf = l.frame()\nf['x']\nf[['y', 'z']]\nf[0]\n";
    let document = traced(&[("main.py", text)], "main");
    let lines: Vec<u32> = (document.entries[0].events.iter())
        .filter(|event| matches!(event.kind, Kind::Lookup(..)))
        .map(|event| event.place.1)
        .collect();
    assert_eq!(lines, [5, 6]);
}

#[test]
fn what_literals_decide_leaves_no_guard() {
    let text = "import l\nDEBUG = False\nif DEBUG:\n    l.a()\nelse:\n    l.b()\n";
    assert_eq!(calls(text), [("l.b".to_owned(), 0)]);
}

#[test]
fn a_condition_holds_on_until_its_branches_meet() {
    let text = "import l\nx = l.x\nif x == 1:\n    l.a()\nelse:\n    l.b()\nl.c()\n";
    let found: Vec<usize> = calls(text).iter().map(|c| c.1).collect();
    assert_eq!(found, [1, 1, 0]);
}

#[test]
fn a_way_out_guards_what_follows() {
    let text = "import l, sys\nif l.a():\n    sys.exit(1)\nl.b()\n";
    assert_eq!(calls(text).last(), Some(&("l.b".to_owned(), 1)));
}

#[test]
fn a_condition_that_was_met_is_decided_in_the_calls_below() {
    let text = "import l\nflag = l.parse('x')\n\
                def f():\n    if flag:\n        l.a()\n    else:\n        l.b()\n\
                if flag:\n    f()\n";
    let names: Vec<String> = calls(text).into_iter().map(|c| c.0).collect();
    assert_eq!(names, ["l.parse", "l.a"]);
}

#[test]
fn what_a_loop_changes_is_unknown_in_it() {
    let text =
        "import l\nfirst = True\nfor x in l.xs:\n    if first:\n        l.a()\n    first = False\n";
    assert_eq!(calls(text), [("l.a".to_owned(), 2)]);
}

#[test]
fn a_module_is_evaluated_once_and_main_is_main() {
    let files = [
        (
            "src/a.py",
            "import l\nfrom . import b\nif __name__ == '__main__':\n    l.main()\n",
        ),
        ("src/b.py", "import l\nimport src.c as c\nl.b()\nc.f()\n"),
        (
            "src/c.py",
            "import l\nfrom src import b\ndef f():\n    l.f()\nl.c()\n",
        ),
    ];
    let document = traced(&files, "src.a");
    let names: Vec<&str> = document.entries[0]
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::Call(name, ..) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["l.c", "l.b", "l.f", "l.main"]);
}

#[test]
fn nothing_in_the_document_points_past_its_tables() {
    let text = "import hydra, l\n\
                @hydra.main(config_path='c')\n\
                def main(cfg):\n    for x in cfg.xs:\n        try:\n            l.a(x, [y for y in x if y])\n\
                \x20       except KeyError as e:\n            l.b(e)\n        cfg.n = x\n    return cfg.n or 1\n\
                main()\n";
    let document = traced(&[("main.py", text)], "main");
    for entry in &document.entries {
        let values = entry.values.rows().len() as u32;
        assert!(entry.guards.iter().all(|g| g.condition.0 < values));
        assert!(
            entry
                .events
                .iter()
                .all(|e| (e.guard as usize) < entry.guards.len()
                    && (e.call as usize) < entry.calls.len())
        );
        for value in entry.values.rows() {
            if let Value::Ran(l) | Value::Element(_, l) | Value::Each(_, l) = value {
                assert!((*l as usize) < entry.loops.len());
            }
        }
    }
}

#[test]
fn deep_and_broken_sources_end() {
    for text in [
        "(".repeat(20_000),
        format!("x = {}1", "not ".repeat(20_000)),
        format!("x{}", ".a".repeat(20_000)),
        "def f(): return f()\nf()\n".to_owned(),
        "while True:\n    pass\n".to_owned(),
        "class A(A, *A, **A): pass\n".to_owned(),
    ] {
        traced(&[("main.py", &text)], "main");
    }
}
