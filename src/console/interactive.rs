//! An operator at a terminal.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use nix::errno::Errno;
use nix::sys::termios::{
    LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr,
};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{
    Cmd, CompletionType, ConditionalEventHandler, Config, Context, Editor, Event, EventContext,
    EventHandler, ExternalPrinter, Helper, KeyEvent, RepeatCount,
};
use rustyline::{highlight::Highlighter, hint::Hinter, validate::Validator};

use super::link::{Link, Prompt};
use super::text::{MORE, Pager, last_word};

/// Asides that wait for the terminal.
const ASIDES_MAX: usize = 64;

/// What switches off the mode in which a terminal marks what is pasted.
const NO_PASTE_MARKS: &str = "\x1b[?2004l";

const CTRL_C: u8 = 0x03;

/// The link, which completion needs as well.
type Shared = Arc<Mutex<Link>>;

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the line editor asks while a line is being typed.
struct Assistant(Shared);

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let so_far = &line[..at];
        let from = last_word(so_far);
        // Who has lost the guard is told so elsewhere.
        let mut words = locked(&self.0).complete(so_far).unwrap_or_default();
        if let [only] = &mut words[..] {
            only.push(' ');
        }
        Ok((from, words))
    }
}

impl Hinter for Assistant {
    type Hint = String;
}
impl Highlighter for Assistant {}
impl Validator for Assistant {}
impl Helper for Assistant {}

/// Where help was asked for.
type Asked = Arc<Mutex<Option<usize>>>;

/// `?` ends the input of the line, which goes on behind the help.
struct Question(Asked);

impl ConditionalEventHandler for Question {
    fn handle(&self, _: &Event, _: RepeatCount, _: bool, at: &EventContext<'_>) -> Option<Cmd> {
        *locked(&self.0) = Some(at.pos());
        Some(Cmd::AcceptLine)
    }
}

/// The terminal in another mode, until this is dropped.
struct Mode(Termios);

impl Mode {
    fn set(change: impl FnOnce(&mut Termios)) -> nix::Result<Self> {
        let saved = tcgetattr(io::stdin())?;
        let mut new = saved.clone();
        change(&mut new);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &new)?;
        Ok(Self(saved))
    }
}

impl Drop for Mode {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Octets from the terminal, past the buffer of standard input, of which the line editor knows nothing.
fn read(room: &mut [u8]) -> nix::Result<usize> {
    loop {
        match nix::unistd::read(io::stdin().as_fd(), room) {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

/// A password, which is not shown; `None` at the end of the input.
fn password(prompt: &str) -> nix::Result<Option<String>> {
    show(prompt);
    let mode = Mode::set(|mode| {
        mode.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
        // Ctrl-C gives it up without an Enter.
        mode.control_chars[SpecialCharacterIndices::VEOL as usize] = CTRL_C;
    })?;
    let mut room = [0; 4096];
    let len = read(&mut room)?;
    drop(mode);
    show("\n");
    let typed = &room[..len];
    Ok(match typed {
        [] => None,
        [.., CTRL_C] => Some(String::new()),
        _ => Some(String::from_utf8_lossy(typed.strip_suffix(b"\n").unwrap_or(typed)).into()),
    })
}

/// A terminal that has gone away needs no text.
fn show(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Shows text page by page.
fn show_pages(text: &str, rows: Option<usize>, columns: usize) -> nix::Result<()> {
    let mut pages = Pager::new(text);
    let Some(rows) = rows else {
        show(text);
        return Ok(());
    };
    show(&pages.take(rows, columns));
    while !pages.is_empty() {
        show(MORE);
        let mode = Mode::set(|mode| {
            let line = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
            mode.local_flags.remove(line);
        })?;
        let next = loop {
            let mut key = [0];
            if read(&mut key)? == 0 {
                break 0;
            }
            match key[0] {
                b' ' => break rows,
                b'\r' | b'\n' => break 1,
                b'q' | b'Q' | CTRL_C => break 0,
                _ => {}
            }
        };
        drop(mode);
        show(&format!("\r{}\r", " ".repeat(MORE.len())));
        if next == 0 {
            break;
        }
        show(&pages.take(next, columns));
    }
    Ok(())
}

/// The line editor, and what it needs.
struct Desk {
    editor: Editor<Assistant, FileHistory>,
    link: Shared,
    asked: Asked,
    /// Lines that were pasted, and whose turn has not come.
    pasted: VecDeque<String>,
}

/// What the operator wants.
enum Input {
    Line(String),
    /// Help with the line as far as this.
    Help(String, usize),
    GivenUp,
    Leave,
}

impl Desk {
    fn new(link: Shared) -> rustyline::Result<Self> {
        let config = Config::builder().completion_type(CompletionType::List).build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant(Arc::clone(&link))));
        let asked = Asked::default();
        let question = EventHandler::Conditional(Box::new(Question(Arc::clone(&asked))));
        editor.bind_sequence(KeyEvent::from('?'), question);
        Ok(Self { editor, link, asked, pasted: VecDeque::new() })
    }

    /// Text that comes by itself is shown above the prompt, whenever it comes.
    fn show_asides(&mut self, asides: Receiver<String>) {
        let printer = self.editor.create_external_printer();
        // Without a thread there are no asides: whoever sends them sees that.
        let _ = thread::Builder::new().name("asides".into()).spawn(move || match printer {
            Ok(mut printer) => asides.iter().all(|text| printer.print(text).is_ok()),
            Err(_) => asides.iter().all(|text| {
                show(&text);
                true
            }),
        });
    }

    fn input(&mut self, prompt: &Prompt, typed: (&str, &str)) -> Result<Input, String> {
        let failed = |why: String| format!("cannot read from the terminal: {why}");
        if let Some(line) = self.pasted.pop_front() {
            let shown = if prompt.is_secret { "" } else { &line };
            show(&format!("{}{shown}\n", prompt.text));
            return Ok(Input::Line(line));
        }
        if prompt.is_secret {
            let line = password(&prompt.text).map_err(|why| failed(why.to_string()))?;
            return Ok(line.map_or(Input::Leave, Input::Line));
        }
        match self.editor.readline_with_initial(&prompt.text, typed) {
            Ok(line) => Ok(match locked(&self.asked).take() {
                Some(at) if line.is_char_boundary(at) => Input::Help(line, at),
                _ => {
                    // What was pasted is one text to the line editor.
                    let mut lines = line.split('\n').map(String::from);
                    let first = lines.next().unwrap_or_default();
                    self.pasted.extend(lines);
                    Input::Line(first)
                }
            }),
            Err(ReadlineError::Interrupted) => Ok(Input::GivenUp),
            Err(ReadlineError::Eof) => Ok(Input::Leave),
            Err(why) => Err(failed(why.to_string())),
        }
    }

    fn pages(&mut self, text: &str, page: Option<u16>) -> Result<(), String> {
        let (columns, rows) = self.editor.dimensions().unwrap_or((80, 24));
        let rows = usize::from(page.unwrap_or(rows));
        let rows = (rows > 0).then(|| rows.saturating_sub(1).max(1));
        show_pages(text, rows, columns.into())
            .map_err(|why| format!("cannot read from the terminal: {why}"))
    }

    fn converse(&mut self, mut prompt: Prompt, history: Option<&Path>) -> Result<(), String> {
        let mut typed = (String::new(), String::new());
        loop {
            let input = self.input(&prompt, (&typed.0, &typed.1))?;
            typed = Default::default();
            let line = match input {
                Input::Line(line) => line,
                Input::Help(line, at) => {
                    let (before, behind) = line.split_at(at);
                    let text = locked(&self.link).help(before)?;
                    self.pages(&text, prompt.page)?;
                    typed = (before.into(), behind.into());
                    continue;
                }
                Input::GivenUp => continue,
                Input::Leave => return Ok(()),
            };
            if !prompt.is_secret {
                self.remember(&line, history);
            }
            let (said, next) = locked(&self.link).line(&line)?;
            if said.ends {
                show(&said.text);
                return Ok(());
            }
            prompt = next;
            self.pages(&said.text, prompt.page)?;
        }
    }

    fn remember(&mut self, line: &str, history: Option<&Path>) {
        let is_new = self.editor.add_history_entry(line).unwrap_or(false);
        if let Some(file) = history.filter(|_| is_new)
            && let Err(why) = self.editor.append_history(file)
        {
            log::debug!("console: cannot keep the history: {why}");
        }
    }
}

/// Speaks with the guard at `socket` until one of both ends it.
pub(super) fn run(socket: &Path, history: Option<&Path>) -> Result<(), String> {
    let (tell, asides) = bounded(ASIDES_MAX);
    let mut lost = 0;
    // Never waiting for the terminal: behind them comes what the line editor may be waiting for.
    let on_asides = Box::new(move |lines: Vec<String>| {
        let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        if lost > 0 {
            text = format!("% {lost} lines were lost: the terminal is too slow.\n{text}");
        }
        lost = if tell.try_send(text).is_ok() { 0 } else { lost + lines.len() };
    });
    let before = tcgetattr(io::stdin()).map_err(|why| format!("no terminal: {why}"))?;
    // Whoever waits at a prompt would not see that nobody listens any more.
    let on_end = Box::new(move |why: &str| {
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &before);
        show(NO_PASTE_MARKS);
        eprintln!("\nmailguard: {why}");
        process::exit(2);
    });
    let (link, prompt) = Link::open(socket, on_asides, on_end)?;
    let mut desk = Desk::new(Arc::new(Mutex::new(link)))
        .map_err(|why| format!("cannot set up the terminal: {why}"))?;
    if let Some(file) = history
        && file.exists()
    {
        desk.editor
            .load_history(file)
            .map_err(|why| format!("cannot read {}: {why}", file.display()))?;
    }
    desk.show_asides(asides);
    desk.converse(prompt, history)
}
