//! The tests that the list of hazards names exist.

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_list_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("tests/HAZARDS-enforcing.md")).unwrap();
    let mut named = 0;
    let mut missing = Vec::new();
    for name in text.split('`').skip(1).step_by(2) {
        let Some((file, test)) = name.split_once("::") else {
            continue;
        };
        // A command, or the form of a name.
        if name.contains(' ') || test == "test" {
            continue;
        }
        let places =
            ["tests/integration", "src"].map(|dir| root.join(dir).join(format!("{file}.rs")));
        let code = places.iter().find_map(|path| fs::read_to_string(path).ok());
        let is_there = code.is_some_and(|code| code.contains(&format!("fn {test}(")));
        if !is_there {
            missing.push(name);
        }
        named += 1;
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(named > 50, "{named}");
    for row in 1..=40 {
        assert!(text.contains(&format!("\n| E{row} | ")), "E{row}");
    }
}
