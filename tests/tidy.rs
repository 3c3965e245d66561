//! Reads the sources and holds them to the rules of ARCHITECTURE.md.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules from the ground up. A module may import from floors below its own, and from itself.
const FLOORS: &[(&str, &[&str])] = &[
    ("ground", &["time", "limits", "direction", "counters"]),
    ("octets", &["wire", "stream", "report"]),
    ("protocols", &["tcp", "smtp"]),
    ("judgement", &["policy"]),
    ("language", &["config"]),
    ("inspection", &["inspect"]),
    ("conversation", &["flow"]),
    ("engine", &["engine"]),
    ("trial", &["fuzz"]),
    (
        "shell",
        &[
            "device",
            "jail",
            "pool",
            "run",
            "personality",
            "sink",
            "load",
            "console",
            "observe",
            "operator",
            "keeper",
            "check",
            "pages",
            "main",
        ],
    ),
];

/// Shell modules that build on each other: the one may import the others.
const WITHIN_SHELL: &[(&str, &[&str])] = &[
    ("pool", &["device", "observe"]),
    ("run", &["console", "device", "jail", "keeper", "observe", "operator", "pool", "personality"]),
    ("sink", &["load"]),
    ("operator", &["console", "personality"]),
    ("console", &["jail"]),
    ("keeper", &["operator"]),
    ("check", &["keeper"]),
];

/// What the core must not name: it has no clock, socket, thread or randomness.
const BANNED_BELOW_THE_SHELL: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "std::thread",
    "std::net",
    "std::io",
    "std::fs",
    "RandomState",
    "libc::",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 20, "the sources are where this test looks for them");
    found
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|(_, modules)| modules.contains(&module))
}

/// The modules of this crate that `text` imports or names.
fn imports(text: &str) -> Vec<&str> {
    text.match_indices("crate::")
        .map(|(at, prefix)| &text[at + prefix.len()..])
        .map(|rest| {
            rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("")
        })
        .collect()
}

#[test]
fn modules_import_only_from_floors_below() {
    for (file, text) in all_sources() {
        let module = module_of(&file);
        if module == "lib" {
            continue;
        }
        let floor = floor_of(module).unwrap_or_else(|| panic!("{file}: on no floor"));
        for import in imports(&text) {
            let below = floor_of(import).unwrap_or_else(|| panic!("{file}: imports {import}"));
            let sideways =
                WITHIN_SHELL.iter().any(|(from, to)| *from == module && to.contains(&import));
            assert!(
                below < floor || import == module || sideways,
                "{file}: {import} is on floor {:?}, which is not below {:?}",
                FLOORS[below].0,
                FLOORS[floor].0,
            );
        }
    }
}

#[test]
fn the_core_has_no_clock_socket_thread_or_randomness() {
    let shell = FLOORS.len() - 1;
    for (file, text) in all_sources() {
        if file == "lib.rs" || floor_of(module_of(&file)) == Some(shell) {
            continue;
        }
        for banned in BANNED_BELOW_THE_SHELL {
            assert!(!text.contains(banned), "{file}: names {banned}");
        }
    }
}

#[test]
fn a_panic_unwinds_in_every_profile() {
    // The engine catches a panic in one flow, so that the others go on.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("[profile.release]") && !manifest.contains("panic ="));
}

#[test]
fn unsafe_code_stays_in_the_device() {
    for (file, text) in all_sources() {
        let is_device = file.starts_with("device/");
        let says_unsafe = text.lines().any(|line| {
            line.contains("unsafe ")
                && !line.trim_start().starts_with("//")
                && !line.contains("unsafe_code")
        });
        assert!(is_device || !says_unsafe, "{file}: unsafe code");
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    for (file, text) in all_sources() {
        assert!(text.starts_with("//! "), "{file}: begins with what it is");
        let lines = text.lines().count();
        assert!(lines <= 500, "{file}: {lines} lines");
        for (number, line) in text.lines().enumerate() {
            assert_eq!(line, line.trim_end(), "{file}:{}: trailing blank", number + 1);
        }
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn each_statement_of_the_article_has_a_test_or_a_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/lab/article.md")).unwrap();
    let mut ids = Vec::new();
    let is_row = |line: &&str| ["| A", "| B", "| R"].iter().any(|start| line.starts_with(start));
    for line in table.lines().filter(is_row) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, statement, shown] = cells[..] else { panic!("three cells: {line}") };
        ids.push(id.to_owned());
        assert!(!statement.is_empty(), "{id}: says what is stated");
        let mut functions_of = String::new();
        for name in quoted(shown) {
            if name.ends_with(".py") {
                assert!(root.join("tests/lab").join(name).is_file(), "{id}: {name} is not there");
            } else if name.ends_with(".rs") {
                functions_of = fs::read_to_string(root.join(name))
                    .unwrap_or_else(|error| panic!("{id}: {name}: {error}"));
            } else {
                let test = format!("#[test]\nfn {name}() {{");
                assert!(functions_of.contains(&test), "{id}: no test {name} in the file before it");
            }
        }
        let has_reason = shown.starts_with("no test: ") || shown.starts_with("no test yet: ");
        assert_eq!(quoted(shown).next().is_none(), has_reason, "{id}: {shown}");
    }
    let wanted = (1..=69).map(|number| format!("A{number:02}"));
    let wanted = wanted.chain((1..=15).map(|number| format!("B{number:02}")));
    let wanted = wanted.chain((1..=18).map(|number| format!("R{number:02}")));
    assert_eq!(ids, wanted.collect::<Vec<_>>());
}
