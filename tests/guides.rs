//! The sessions in the guides: typed at a console whose guard has nothing to do. tests/lab/guides-come-true.py types them at a real
//! one, with the rest of the guides.

#[path = "../src/operator/tests/fake.rs"]
#[allow(dead_code, unreachable_pub, reason = "the unit tests use all of it")]
mod fake;

use std::fs;
use std::path::Path;

use mailguard::config::{Config, Family, Mode, read};
use mailguard::console::Session as _;
use mailguard::counters::{Counters, Event};
use mailguard::engine::Filter;
use mailguard::flow::View;
use mailguard::operator::{Device, Guard, Operator, Passwords, Store};
use mailguard::policy::{Knob, Personality, Policy, Timeouts};

/// A block of a session: the words behind `console`, and its lines with their numbers.
type Block = (Vec<String>, Vec<(usize, String)>);

fn sessions(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if let Some((_, lines)) = &mut open {
            if line == "```" {
                found.extend(open.take());
            } else {
                lines.push((number, line.to_owned()));
            }
        } else if let Some(words) = line.strip_prefix("```console") {
            open = Some((words.split_whitespace().map(str::to_owned).collect(), Vec::new()));
        }
    }
    assert!(open.is_none(), "a block has no end");
    found
}

fn operator(personality: &'static str, hostname: &str) -> Operator {
    let device = fake::desk(personality).device;
    let named = device.change(|config| {
        config.hostname = Some(hostname.into());
        Ok::<_, String>(())
    });
    named.unwrap();
    Operator::local(device)
}

/// Types the lines behind the prompts; what is between them is what was said, where nothing has to have happened before.
fn play(guide: &str, (words, lines): &Block) {
    let personality = words.first().and_then(|name| Personality::named(name));
    let personality =
        personality.unwrap_or_else(|| panic!("{guide}: console PERSONALITY: {words:?}"));
    let is_live = words.get(1).is_some_and(|word| word == "live");
    let (_, first) = lines.first().expect("a block is not empty");
    let hostname = first.split(['>', '#', '(']).next().unwrap_or_default();
    let mut operator = operator(personality.name, hostname);
    let mut said = String::new();
    for (number, line) in lines {
        // A prompt loses the blank at the end of its line.
        let prompt = operator.prompt();
        let typed =
            line.strip_prefix(&prompt).or_else(|| (line == prompt.trim_end()).then_some(""));
        let Some(typed) = typed else {
            assert!(
                !line.starts_with(hostname) || is_live,
                "{guide}:{number}: the prompt is {prompt:?}"
            );
            if !is_live {
                let (now, later) = said.split_once('\n').unwrap_or((&said, ""));
                assert_eq!(now, line, "{guide}:{number}");
                said = later.to_owned();
            }
            continue;
        };
        assert!(said.is_empty() || is_live, "{guide}:{number}: before it was said {said:?}");
        let answer = operator.line(typed);
        assert!(!answer.failed, "{guide}:{number}: {}", answer.text);
        said = answer.text;
    }
    assert!(said.is_empty() || is_live, "{guide}: at the end of a block was said {said:?}");
}

#[test]
fn the_sessions_of_the_guides_are_what_a_console_does() {
    for (guide, least) in [("guide-for-newcomers.md", 2), ("guide-for-pix.md", 2)] {
        let text = text_of(&format!("netns/{guide}"));
        let sessions = sessions(&text);
        assert!(sessions.len() >= least, "{guide}");
        for session in &sessions {
            play(guide, session);
        }
    }
}

/// What of `text` stands between `start` and `end`, again and again.
fn between<'a>(text: &'a str, start: &'a str, end: char) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
}

#[test]
fn the_table_of_generations_is_that_of_the_presets() {
    let text = text_of("netns/guide-for-pix.md");
    let (_, table) = text.split_once("## Generations").unwrap();
    let (table, _) = table.split_once("\n\n`mailguard`").unwrap();
    let mut named = Vec::new();
    for row in table.lines().filter(|line| line.contains("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, names, refused, starttls] = cells[..] else { panic!("four cells: {row}") };
        let refusal = match refused {
            "`250 OK`, the server sees NOOP" => "ok",
            "the line is `XXXX`" => "x-line",
            "reaches the server as `XXXX`" | "`XXXX`" => "x-verb",
            _ => panic!("{row}"),
        };
        let starttls = if starttls.starts_with("passes") { "allow" } else { "refuse" };
        for name in names.split(['`', ' ']).filter(|name| !name.is_empty()) {
            let personality = Personality::named(name).unwrap();
            let value = |knob| Knob::named(knob).unwrap().value(personality);
            assert_eq!((&*value("refusal"), &*value("starttls")), (refusal, starttls), "{name}");
            named.push(name);
        }
    }
    for personality in Personality::ALL {
        let is_cisco = ["pix", "asa"].iter().any(|start| personality.name.starts_with(start));
        assert_eq!(named.contains(&personality.name), is_cisco, "{}", personality.name);
    }
}

/// A file of the project.
fn text_of(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{name}: {why}"))
}

#[test]
fn links_lead_to_files() {
    for (folder, name) in [
        ("", "README.md"),
        ("netns/", "guide-for-newcomers.md"),
        ("netns/", "guide-for-pix.md"),
        ("netns/", "README.md"),
    ] {
        let text = text_of(&format!("{folder}{name}"));
        for link in between(&text, "](", ')').filter(|link| !link.starts_with("http")) {
            text_of(&format!("{folder}{link}"));
        }
    }
    let readme = text_of("README.md");
    assert!(
        ["pix", "newcomers"]
            .iter()
            .all(|who| readme.contains(&format!("netns/guide-for-{who}.md")))
    );
}

#[test]
fn commands_that_the_guides_name_exist() {
    const FIRST: [&str; 9] =
        ["clear", "debug", "fixup", "knob", "logging", "show", "terminal", "undebug", "write"];
    let mut count = 0;
    for name in ["netns/guide-for-newcomers.md", "netns/guide-for-pix.md"] {
        // Blocks are typed; here are the words between backquotes.
        let prose: String = text_of(name).split("```").step_by(2).collect();
        for named in prose.split('`').skip(1).step_by(2) {
            let line = named.split_whitespace().collect::<Vec<_>>().join(" ");
            let is_one = line.split_once(' ').is_some_and(|(first, _)| FIRST.contains(&first));
            if !is_one || line.contains(char::is_uppercase) {
                continue;
            }
            count += 1;
            let families =
                [Family::Mailhost, Family::Fixup, Family::Inspect, Family::Maps, Family::Own];
            let reads = |family: &Family| read(&line, &Mode::Config, *family).is_ok();
            assert!(families.iter().any(reads), "{name}: {line}");
        }
    }
    assert!(count > 15, "{count} are found");
}
