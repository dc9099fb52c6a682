//! Policies as deep and as long as they may be are read on the stack of an ordinary thread.

use policy::Rules;

use crate::support::*;

/// What threads of a server have by default.
const STACK_BYTES: usize = 2 << 20;

fn read(condition: String) -> usize {
    let text = format!("forbid (principal, action == Action::\"submit\", resource) when {{ {condition} }};");
    let read = move || Rules::new(sources(&text)).1.into_iter().filter(|problem| !problem.warning).count();
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(read).unwrap().join().unwrap()
}

#[test]
fn what_is_permitted_is_read_and_what_is_deeper_is_refused() {
    for (good, bad) in [
        (format!("{}false{}", "(".repeat(30), ")".repeat(30)), format!("{}false{}", "(".repeat(9_999), ")".repeat(9_999))),
        (format!("{}false", "false || ".repeat(60)), format!("{}false", "false || ".repeat(9_999))),
        (
            format!("{}false{}", "if false then true else (".repeat(8), ")".repeat(8)),
            format!("{}false{}", "if false then true else (".repeat(9), ")".repeat(9)),
        ),
        (
            format!("true{}", " && resource.name == \"x\"".repeat(24)),
            format!("true{}", " && resource.name == \"x\"".repeat(9_999)),
        ),
    ] {
        assert_eq!((read(good), read(bad)), (0, 1));
    }
}
