//! The client's end of the Unix socket.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::protocol::{Ask, Say};
use super::session::Said;
use super::socket::connect;
use crate::limits::CONSOLE_TEXT_OCTETS_MAX;

/// How long the guard may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Octets of one line of the guard: JSON may make six of one.
const LINE_OCTETS_MAX: u64 = 8 * CONSOLE_TEXT_OCTETS_MAX as u64;

/// How often a guard whose queue is full is asked again.
const TRIES: u32 = 50;
const TRY_PAUSE: Duration = Duration::from_millis(100);

/// What is asked for next.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Prompt {
    pub(super) text: String,
    pub(super) is_secret: bool,
    pub(super) page: Option<u16>,
}

/// What an end of the conversation is told to whoever waits at a prompt.
pub(super) type OnEnd = Box<dyn FnOnce(&str) + Send>;
/// What is done with lines that come by themselves.
pub(super) type OnAsides = Box<dyn FnMut(Vec<String>) + Send>;

const ENDED: &str = "the guard has closed the console";
const OUT_OF_TURN: &str = "the guard speaks out of turn: is it of another version?";

/// Answers that wait for who has asked: one question at a time brings two.
const ANSWERS_MAX: usize = 4;

/// A conversation with the guard.
#[derive(Debug)]
pub(super) struct Link {
    socket: UnixStream,
    answers: Receiver<Say>,
}

fn reach(path: &Path) -> Result<UnixStream, String> {
    let shown = path.display();
    let mut tries = 0;
    let socket = loop {
        match connect(path) {
            Ok(socket) => break UnixStream::from(OwnedFd::from(socket)),
            Err(why) if why.kind() == ErrorKind::WouldBlock && tries < TRIES => {
                tries += 1;
                thread::sleep(TRY_PAUSE);
            }
            Err(why) => {
                let is_nobody =
                    matches!(why.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused);
                return Err(if is_nobody {
                    format!("no guard listens at {shown}: start one, or give its --socket")
                } else {
                    format!("cannot reach the guard at {shown}: {why}")
                });
            }
        }
    };
    let set = socket.set_nonblocking(false).and_then(|()| socket.set_write_timeout(Some(PATIENCE)));
    set.and_then(|()| socket.set_read_timeout(Some(PATIENCE)))
        .map_err(|why| format!("cannot set up the socket: {why}"))?;
    Ok(socket)
}

/// The next thing that the guard says.
fn hear(from: &mut BufReader<UnixStream>) -> io::Result<Option<Say>> {
    let mut line = Vec::new();
    from.take(LINE_OCTETS_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

/// Reads until the end; whoever waits for an answer gets it.
fn listen(
    mut from: BufReader<UnixStream>,
    answers: &Sender<Say>,
    mut on_asides: OnAsides,
    on_end: OnEnd,
) {
    let mut why = ENDED.to_owned();
    loop {
        match hear(&mut from) {
            Ok(Some(Say::Asides { lines })) => on_asides(lines),
            Ok(Some(Say::Closed { why: reason })) => why = format!("{ENDED}: {reason}"),
            Ok(Some(say)) => {
                let is_end = matches!(say, Say::Said { ends: true, .. });
                // Whoever asked has gone, or it is over: what comes now is the end that was wanted.
                if answers.send(say).is_err() || is_end {
                    return;
                }
            }
            Ok(None) => break,
            Err(failed) => {
                why = format!("cannot understand the guard: {failed}");
                break;
            }
        }
    }
    // If there is no room, nobody waits.
    let _ = answers.try_send(Say::Closed { why: why.clone() });
    on_end(&why);
}

impl Link {
    /// Reaches the guard that listens at `path`, and waits to be served. Until it ends, `on_asides` and
    /// `on_end` are called in a thread of their own.
    pub(super) fn open(
        path: &Path,
        on_asides: OnAsides,
        on_end: OnEnd,
    ) -> Result<(Self, Prompt), String> {
        let socket = reach(path)?;
        let cloned = socket.try_clone().map_err(|why| format!("no descriptor left: {why}"))?;
        let mut from = BufReader::new(cloned);
        let first = hear(&mut from).map_err(|why| format!("the guard does not answer: {why}"))?;
        let first = match first {
            Some(Say::Prompt { prompt, secret, page }) => {
                Prompt { text: prompt, is_secret: secret, page }
            }
            Some(Say::Closed { why }) => return Err(format!("{ENDED}: {why}")),
            Some(_) => return Err(OUT_OF_TURN.into()),
            None => return Err(ENDED.into()),
        };
        // It may be silent for as long as it likes.
        socket.set_read_timeout(None).map_err(|why| format!("cannot set up the socket: {why}"))?;
        let (tell, answers) = bounded(ANSWERS_MAX);
        thread::Builder::new()
            .name("listener".into())
            .spawn(move || listen(from, &tell, on_asides, on_end))
            .map_err(|why| format!("no thread left: {why}"))?;
        Ok((Self { socket, answers }, first))
    }

    fn ask(&mut self, ask: &Ask) -> Result<Say, String> {
        let mut line = serde_json::to_string(ask).map_err(|why| why.to_string())?;
        line.push('\n');
        // If it is closed there is a reason among the answers.
        let _ = self.socket.write_all(line.as_bytes());
        self.answer()
    }

    fn answer(&self) -> Result<Say, String> {
        match self.answers.recv_timeout(PATIENCE) {
            Ok(Say::Closed { why }) => Err(why),
            Ok(say) => Ok(say),
            Err(why) if why.is_timeout() => Err("the guard does not answer".into()),
            Err(_) => Err(ENDED.into()),
        }
    }

    /// What a line brings, and what is asked for then.
    pub(super) fn line(&mut self, line: &str) -> Result<(Said, Prompt), String> {
        let Say::Said { text, failed, ends } = self.ask(&Ask::Line { line: line.into() })? else {
            return Err(OUT_OF_TURN.into());
        };
        let said = Said { text, failed, ends };
        if ends {
            return Ok((said, Prompt::default()));
        }
        let Say::Prompt { prompt, secret, page } = self.answer()? else {
            return Err(OUT_OF_TURN.into());
        };
        Ok((said, Prompt { text: prompt, is_secret: secret, page }))
    }

    /// What may follow.
    pub(super) fn help(&mut self, line: &str) -> Result<String, String> {
        if let Say::Help { text } = self.ask(&Ask::Help { line: line.into() })? {
            Ok(text)
        } else {
            Err(OUT_OF_TURN.into())
        }
    }

    /// What the last word may become.
    pub(super) fn complete(&mut self, line: &str) -> Result<Vec<String>, String> {
        if let Say::Words { words } = self.ask(&Ask::Complete { line: line.into() })? {
            Ok(words)
        } else {
            Err(OUT_OF_TURN.into())
        }
    }
}
