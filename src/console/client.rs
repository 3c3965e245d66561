//! `mailguard console`: an operator at a terminal, or a script on standard input.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use super::link::{Link, Prompt};
use super::session::Said;
use super::socket::default_socket;
use super::text::complaint;
use super::{interactive, link};
use crate::limits::CONSOLE_LINE_OCTETS_MAX;

const EXAMPLE: &str = "\
At a terminal: ? shows at once what may follow, TAB completes a word, the arrow keys bring lines back,
Ctrl-C gives a line up, Ctrl-D leaves, Ctrl-V makes the next key a character. Long text comes in pages:
space for the next one, Enter for a line, q for no more.

A script: mailguard console < FILE. Answers go to standard output. A line that was refused goes to
standard error with its number and the reason, and the script goes on.

Exit status: 0, or 1 when a line of a script was refused, or 2 when the guard cannot be reached, or
has closed the console.";

/// What `mailguard console` is told.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLE)]
pub struct Args {
    /// The Unix socket of the guard.
    ///
    /// Without it: /run/mailguard/console for root, $XDG_RUNTIME_DIR/mailguard/console for others who
    /// have that.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Keep the lines that were typed at a terminal in this file, for its owner alone; never a password.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,

    /// End a script at the first line that was refused.
    #[arg(long)]
    stop: bool,
}

/// A line was refused.
const REFUSED: u8 = 1;
/// There is no guard.
const UNREACHABLE: u8 = 2;

/// Speaks with a running guard until one of both ends it, or the script does.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let done = if io::stdin().is_terminal() && io::stdout().is_terminal() {
        let socket = args.socket.clone().unwrap_or_else(default_socket);
        interactive::run(&socket, args.history.as_deref()).map(|()| 0)
    } else {
        script(args)
    };
    match done {
        Ok(status) => status.into(),
        Err(why) => {
            eprintln!("mailguard: {why}");
            UNREACHABLE.into()
        }
    }
}

/// The next line of a script without its end; what is longer than a line may be is not kept.
fn next_line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let most = CONSOLE_LINE_OCTETS_MAX as u64 + 2;
    if from.take(most).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if !line.ends_with(b"\n") {
        from.skip_until(b'\n')?;
    } else {
        line.pop();
        line.pop_if(|last| *last == b'\r');
    }
    Ok(Some(line))
}

/// The line as a session takes it, or what is wrong with it.
fn checked(line: Vec<u8>) -> Result<String, &'static str> {
    if line.len() > CONSOLE_LINE_OCTETS_MAX {
        return Err("The line is too long.");
    }
    let line = String::from_utf8(line).map_err(|_| "The line is no UTF-8.")?;
    let line = line.replace('\t', " ");
    complaint(&line).map_or(Ok(line), Err)
}

fn script(args: &Args) -> Result<u8, String> {
    let socket = args.socket.clone().unwrap_or_else(default_socket);
    let on_asides: link::OnAsides = Box::new(|lines| {
        let mut out = io::stdout().lock();
        for line in lines {
            // Whoever read it has gone: the answers say so.
            let _ = writeln!(out, "{line}");
        }
    });
    let (mut link, mut prompt) = Link::open(&socket, on_asides, Box::new(|_| ()))?;
    let mut from = io::stdin().lock();
    let mut status = 0;
    for number in 1_u64.. {
        let read = next_line(&mut from).map_err(|why| format!("cannot read the script: {why}"))?;
        let Some(line) = read else { break };
        // What is a secret is not told, whatever is wrong with it.
        let shown = if prompt.is_secret { "(a password)".into() } else { shorten(&line) };
        let said = match checked(line) {
            Ok(line) => {
                let (said, next): (Said, Prompt) =
                    link.line(&line).map_err(|why| format!("line {number}: {why}"))?;
                prompt = next;
                said
            }
            Err(why) => Said { text: format!("% {why}\n"), failed: true, ends: false },
        };
        if said.failed {
            status = REFUSED;
            let _ = write!(io::stderr(), "line {number}: {shown}\n{}", said.text);
        } else if io::stdout().lock().write_all(said.text.as_bytes()).is_err() {
            // Nobody reads what comes of it.
            return Ok(REFUSED);
        }
        if said.ends || said.failed && args.stop {
            break;
        }
    }
    let _ = io::stdout().flush();
    Ok(status)
}

/// A line as it is quoted in a complaint.
fn shorten(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let harmless = text.chars().map(|c| if c.is_control() { '?' } else { c });
    harmless.take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_lines_whatever_their_ends_and_lengths() {
        let long = "a".repeat(1 << 20);
        let just = "b".repeat(CONSOLE_LINE_OCTETS_MAX);
        let script = format!("one\r\n\n{long}\n{just}\n{just}\r\n{just}c\nthe last");
        let mut from = io::BufReader::with_capacity(100, script.as_bytes());
        let mut lines = Vec::new();
        while let Some(line) = next_line(&mut from).expect("memory") {
            assert!(line.len() <= CONSOLE_LINE_OCTETS_MAX + 2);
            lines.push(checked(line));
        }
        let too_long = || Err("The line is too long.");
        let just = || Ok(just.clone());
        let expected = [
            Ok("one".into()),
            Ok(String::new()),
            too_long(),
            just(),
            just(),
            too_long(),
            Ok("the last".into()),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_line_is_text() {
        assert_eq!(checked(b"a\tb".to_vec()), Ok("a b".into()));
        assert!(checked(vec![0xff]).is_err() && checked(b"a\x1bb".to_vec()).is_err());
        assert_eq!(shorten(b"a\x1b[2J\xff"), "a?[2J\u{fffd}");
    }
}
