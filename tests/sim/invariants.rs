//! Holds the table of invariants.md to the tests: whatever it names is there.

use std::fs;
use std::path::Path;

const TABLE: &str = include_str!("invariants.md");

/// All sources below `folder`, by the name of their module.
fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    let entries = fs::read_dir(folder).expect("a folder of sources");
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((stem, fs::read_to_string(&path).expect("a source")));
        }
    }
}

/// What stands between backticks and looks like `module::function`.
fn names(cell: &str) -> impl Iterator<Item = (&str, &str)> {
    cell.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"))
}

#[test]
fn what_the_table_of_invariants_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    sources(&root.join("src"), &mut found);
    sources(&root.join("tests/sim"), &mut found);
    let is_there = |module: &str, function: &str, is_test: bool| {
        found.iter().filter(|(stem, _)| stem == module).any(|(_, text)| {
            let heads = [format!("fn {function}("), format!("fn {function}<")];
            text.lines().enumerate().any(|(number, line)| {
                let is_head = heads.iter().any(|head| line.contains(head.as_str()));
                let before = text.lines().nth(number.saturating_sub(1)).unwrap_or_default();
                is_head && (!is_test || before.trim() == "#[test]")
            })
        })
    };
    let rows: Vec<Vec<&str>> = TABLE
        .lines()
        .filter(|line| line.starts_with("| I"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 40, "one row for each");
    for (row, number) in rows.iter().zip(1..) {
        let [name, text, packets, tests] = row[..] else { panic!("{row:?}") };
        assert_eq!(name, format!("I{number}"));
        assert!(!text.is_empty() && !packets.is_empty(), "{name}");
        for (module, function) in names(packets) {
            assert!(is_there(module, function, false), "{name}: no {module}::{function}");
        }
        assert!(names(tests).count() > 0, "{name}: no test");
        for (module, function) in names(tests) {
            assert!(is_there(module, function, true), "{name}: no test {module}::{function}");
        }
    }
}
