//! One connection: its socket, and what could not be read or written yet.

use std::io::{self, Read as _, Write as _};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::session::{Context, REPLIES_MAX, Session};

/// Octets read at once while commands come: what a slow reply may leave waiting.
const READ_COMMANDS: usize = 16 * 1024;
/// Octets one connection may send before another has its turn.
const TURN: usize = 1024 * 1024;

/// What to do with a connection after its turn.
#[derive(Debug)]
pub(super) enum Turn {
    /// Wait for its next event.
    Wait,
    /// It may have more to read.
    Again,
    /// Its reply is due then.
    At(Instant),
    /// It is done.
    Done,
}

/// One connection. An idle one owns no buffer.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) number: u64,
    pub(super) session: Session,
    /// Octets that came with a command whose reply is not written yet.
    unread: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    /// When `out` may be written.
    due: Option<Instant>,
    /// Whether the loop has been told of it.
    due_told: bool,
}

impl Connection {
    /// A connection that is to be greeted.
    pub(super) fn new(
        stream: TcpStream,
        number: u64,
        greeting: &[u8],
        slow: Option<Duration>,
    ) -> Self {
        Self {
            stream,
            number,
            session: Session::new(number),
            unread: Vec::new(),
            out: greeting.to_vec(),
            written: 0,
            due: slow.map(|slow| Instant::now() + slow),
            due_told: false,
        }
    }

    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.out.is_empty() && !self.session.in_data()
    }

    /// Reads, obeys and replies as far as the socket lets it; an `Err` means it is broken.
    pub(super) fn turn(
        &mut self,
        buffer: &mut [u8],
        context: &mut Context<'_>,
    ) -> io::Result<Turn> {
        let mut budget = TURN;
        loop {
            if let Some(due) = self.due {
                if Instant::now() < due {
                    let told = std::mem::replace(&mut self.due_told, true);
                    return Ok(if told { Turn::Wait } else { Turn::At(due) });
                }
                self.due = None;
                self.due_told = false;
            }
            // Without its replies read a client is not heard.
            if !self.write()? {
                return Ok(Turn::Wait);
            }
            if self.session.is_closed() {
                return Ok(Turn::Done);
            }
            if !self.unread.is_empty() {
                let octets = std::mem::take(&mut self.unread);
                self.obey(&octets, context);
                continue;
            }
            if budget == 0 {
                return Ok(Turn::Again);
            }
            let most = if self.session.in_data() { buffer.len() } else { READ_COMMANDS };
            match self.stream.read(&mut buffer[..most]) {
                Ok(0) => return Ok(Turn::Done),
                Ok(read) => {
                    budget = budget.saturating_sub(read);
                    self.obey(&buffer[..read], context);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Wait),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn obey(&mut self, octets: &[u8], context: &mut Context<'_>) {
        let used = self.session.feed(octets, &mut self.out, context);
        self.unread.extend_from_slice(&octets[used..]);
        if !self.out.is_empty() {
            self.due = context.shared.script.slow.map(|slow| Instant::now() + slow);
        }
    }

    /// Writes the replies, together; whether all are written.
    fn write(&mut self) -> io::Result<bool> {
        while self.written < self.out.len() {
            match self.stream.write(&self.out[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.written = 0;
        self.out = Vec::new();
        Ok(true)
    }
}

// What one connection may hold: replies over the bound by one reply, and one read.
const _: () = assert!(REPLIES_MAX <= READ_COMMANDS);
