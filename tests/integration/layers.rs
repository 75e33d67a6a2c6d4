//! The floors of the crate documentation hold: a module uses only lower floors and its own children, and
//! `unsafe` is in `sys` alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<PathBuf> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 5, "{found:?}");
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The top-level module that a file belongs to.
fn module(path: &Path) -> String {
    let inside = path.strip_prefix(root()).unwrap();
    let first = inside.iter().next().unwrap().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

/// The table in the crate documentation: ``//! | 2 | `policy`, `recording` | the two waists |``.
fn floors() -> BTreeMap<String, u32> {
    let text = fs::read_to_string(root().join("lib.rs")).unwrap();
    let mut floors = BTreeMap::new();
    for row in text.lines().filter_map(|l| l.strip_prefix("//! | ")) {
        let Some((floor, modules)) = row.split_once(" | ") else {
            continue;
        };
        let Ok(floor) = floor.trim().parse() else {
            continue;
        };
        // After the modules there is a column of words.
        let modules = modules.split('|').next().unwrap_or_default();
        for name in modules.split('`').skip(1).step_by(2) {
            let before = floors.insert(name.to_owned(), floor);
            assert!(before.is_none(), "{name} is on two floors");
        }
    }
    floors
}

/// The modules of this crate that a piece of code names: the word after each `crate::`, also inside braces.
fn used(text: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in text.match_indices("crate::") {
        // `$crate::` of a macro counts too; `other_crate::` does not.
        if text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &text[at + "crate::".len()..];
        let word = |s: &str| {
            s.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect::<String>()
        };
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => {
                        used.insert(word(item.trim()));
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                item.push(c);
            }
            used.insert(word(item.trim()));
        } else {
            used.insert(word(rest));
        }
    }
    used.remove("");
    used
}

#[test]
fn the_reader_of_this_test_finds_every_way_to_name_a_module() {
    let text =
        "use crate::a::B;\nuse crate::{c, d::{E, F}, g};\nlet x = crate::h::i();\nother_crate::j()";
    assert_eq!(
        used(text),
        ["a", "c", "d", "g", "h"].map(str::to_owned).into()
    );
}

#[test]
fn modules_use_lower_floors_only() {
    let floors = floors();
    let mut wrong = Vec::new();
    for path in sources() {
        let from = module(&path);
        if from == "lib" || from == "main" {
            continue;
        }
        let Some(&floor) = floors.get(&from) else {
            wrong.push(format!("{from} has no floor in the crate documentation"));
            continue;
        };
        let text = fs::read_to_string(&path).unwrap();
        let text: String = text.lines().map(|l| code(l).to_owned() + "\n").collect();
        for to in used(&text) {
            // What is not a module of ours is an item of the root: a macro, say.
            let lower = to == from || floors.get(&to).is_none_or(|&f| f < floor);
            if !lower {
                wrong.push(format!(
                    "{}: {from} (floor {floor}) uses {to}",
                    path.display()
                ));
            }
        }
        if text.contains("super::super") {
            wrong.push(format!("{}: super::super", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_table_exists() {
    for name in floors().keys() {
        let exists =
            root().join(format!("{name}.rs")).exists() || root().join(name).join("mod.rs").exists();
        assert!(exists, "{name} is in the table, but not in src");
    }
}

#[test]
fn unsafe_is_in_sys_alone_and_each_has_its_reason() {
    // The binary's entry has a name that C knows, which counts as unsafe, and gets pointers.
    let entry = [
        "#[unsafe(no_mangle)]",
        "#[expect(unsafe_code, reason = \"the one symbol that C start-up code calls\")]",
        "    let arguments = unsafe { Arguments::of_main(count, first) };",
    ];
    let mut wrong = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        for (at, line) in text.lines().enumerate() {
            if module(&path) == "main" && entry.contains(&line) {
                continue;
            }
            let words = code(line).split(|c: char| !(c.is_alphanumeric() || c == '_'));
            let place = format!("{}:{}: {line}", path.display(), at + 1);
            if words.clone().any(|w| w == "unsafe") && module(&path) != "sys" {
                wrong.push(place.clone());
            }
            if words.clone().any(|w| w == "unsafe_code")
                && !["sys", "lib"].contains(&module(&path).as_str())
            {
                wrong.push(place);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
