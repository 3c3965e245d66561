//! What a connection has yet to send: commands from its own buffer, mail data from the shared
//! body.

use std::io::{self, IoSlice, Write};

use super::message::Body;

/// Blocks handed to the kernel in one call: with 64 KiB blocks about 1 MiB.
const SLICES: usize = 16;

/// What a connection has yet to send.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    head: Vec<u8>,
    head_at: usize,
    data: Option<Data>,
}

/// Where in the shared body a connection is.
#[derive(Debug)]
struct Data {
    blocks: u64,
    block_at: usize,
    tail_at: usize,
}

impl Outgoing {
    /// Queues commands. They are few and short: the dialogue waits for replies.
    pub(super) fn command(&mut self, line: &[u8]) {
        self.head.extend_from_slice(line);
    }

    /// Queues one message.
    pub(super) fn message(&mut self, body: &Body, serial: u64) {
        body.head(serial, &mut self.head);
        self.data = Some(Data { blocks: body.repeats, block_at: 0, tail_at: 0 });
    }

    /// Whether all is sent.
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.data.is_none()
    }

    /// Writes once, as much as the kernel takes in one call.
    pub(super) fn write_once(&mut self, to: &mut impl Write, body: &Body) -> io::Result<usize> {
        let empty = IoSlice::new(&[]);
        let mut slices = [empty; SLICES + 2];
        let mut used = 0;
        let mut push = |octets| {
            slices[used] = IoSlice::new(octets);
            used += 1;
        };
        if !self.head.is_empty() {
            push(&self.head[self.head_at..]);
        }
        if let Some(data) = &self.data {
            let now = data.blocks.min(SLICES as u64);
            for number in 0..now {
                push(&body.block[if number == 0 { data.block_at } else { 0 }..]);
            }
            if now == data.blocks {
                push(&body.tail[data.tail_at..]);
            }
        }
        let written = to.write_vectored(&slices[..used])?;
        self.advance(written, body);
        Ok(written)
    }

    fn advance(&mut self, mut written: usize, body: &Body) {
        let of_head = written.min(self.head.len() - self.head_at);
        self.head_at += of_head;
        written -= of_head;
        if self.head_at == self.head.len() {
            // An idle connection keeps no buffer.
            self.head = Vec::new();
            self.head_at = 0;
        }
        let Some(data) = &mut self.data else { return };
        while written > 0 && data.blocks > 0 {
            let of_block = written.min(body.block.len() - data.block_at);
            data.block_at += of_block;
            written -= of_block;
            if data.block_at == body.block.len() {
                data.block_at = 0;
                data.blocks -= 1;
            }
        }
        data.tail_at += written;
        if data.blocks == 0 && data.tail_at >= body.tail.len() {
            self.data = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, IoSlice, Write};

    use super::{Body, Outgoing};

    /// A peer that takes a few octets at a time.
    struct Sip(Vec<u8>, usize);

    impl Write for Sip {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(octets)])
        }

        fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let all = slices.iter().flat_map(|slice| slice.iter().copied());
            let before = self.0.len();
            self.0.extend(all.take(self.1));
            Ok(self.0.len() - before)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn short_writes_lose_nothing() {
        for size in [0, 900, 65_561, 3_000_000] {
            let body = Body::new(size, 76, 1, "a@example.org", "b@example.org");
            let mut whole = b"RSET\r\n".to_vec();
            body.head(5, &mut whole);
            for _ in 0..body.repeats {
                whole.extend_from_slice(&body.block);
            }
            whole.extend_from_slice(&body.tail);
            for sip in [97, 65_537, usize::MAX] {
                let mut out = Outgoing::default();
                out.command(b"RSET\r\n");
                out.message(&body, 5);
                let mut peer = Sip(Vec::new(), sip);
                while !out.is_empty() {
                    assert!(out.write_once(&mut peer, &body).unwrap() > 0);
                }
                assert!(peer.0 == whole, "size {size}, {sip} at once");
            }
        }
    }
}
