//! As much of HTTP as Prometheus needs: one request a connection, one connection at a time, each with little time.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant as Clock};

use crate::limits::{HTTP_HEADERS_MAX, HTTP_PATIENCE, HTTP_REQUEST_OCTETS_MAX};

/// The format of the text (Prometheus, *Exposition formats*).
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers until the listener fails for good.
pub(super) fn serve(listener: &TcpListener, metrics: impl Fn() -> String) {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                // Who asks in vain will ask again.
                let _ = answer(stream, &metrics);
            }
            Err(error) if error.kind() == ErrorKind::InvalidInput => return,
            // No descriptor is free just now.
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
fn answer(mut stream: TcpStream, metrics: &impl Fn() -> String) -> Result<()> {
    let until = Clock::now() + HTTP_PATIENCE;
    stream.set_write_timeout(Some(HTTP_PATIENCE))?;
    let mut room = [0; HTTP_REQUEST_OCTETS_MAX];
    let mut len = 0;
    let status = loop {
        let left = until.saturating_duration_since(Clock::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut room[len..])? {
            0 if len == room.len() => break "431 Request Header Fields Too Large",
            0 => return Ok(()),
            more => len += more,
        }
        if let Some(status) = judge(&room[..len]) {
            break status;
        }
    };
    let (kind, body) = match status {
        "200 OK" => (TEXT, metrics()),
        other => ("text/plain; charset=utf-8", format!("{other}\n")),
    };
    let is_head = room.starts_with(b"HEAD ");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    if !is_head {
        stream.write_all(body.as_bytes())?;
    }
    stream.shutdown(Shutdown::Write)
}

/// The status for a request; nothing while there is more to come.
fn judge(request: &[u8]) -> Option<&'static str> {
    let mut headers = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(request) {
        Ok(httparse::Status::Partial) => None,
        Err(httparse::Error::TooManyHeaders) => Some("431 Request Header Fields Too Large"),
        Err(_) => Some("400 Bad Request"),
        Ok(httparse::Status::Complete(_)) => {
            let path = parsed.path.unwrap_or_default().split('?').next();
            Some(match (parsed.method, path) {
                (Some("GET" | "HEAD"), Some("/metrics")) => "200 OK",
                (Some("GET" | "HEAD"), _) => "404 Not Found",
                _ => "405 Method Not Allowed",
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &[u8]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let mut client =
            TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        client.write_all(request).expect("octets");
        let (stream, _) = listener.accept().expect("a connection");
        answer(stream, &|| "mailguard_x 1\n".into()).expect("an answer");
        let mut said = String::new();
        client.read_to_string(&mut said).expect("text");
        said
    }

    #[test]
    fn metrics_and_nothing_else() {
        assert_eq!(
            asked(b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: 14\r\nConnection: close\r\n\r\nmailguard_x 1\n"
        );
        let head = asked(b"HEAD /metrics HTTP/1.1\r\n\r\n");
        assert!(head.contains("Content-Length: 14\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        for (request, status) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], "404"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
            (b"\x16\x03\x01\x00\xa5\x01\x00\x00\r\n\r\n", "400"),
        ] {
            assert!(asked(request).starts_with(&format!("HTTP/1.1 {status} ")));
        }
        let many =
            format!("GET /metrics HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(HTTP_HEADERS_MAX + 1));
        assert!(asked(many.as_bytes()).starts_with("HTTP/1.1 431 "));
        assert_eq!(judge(b"GET /metrics HTTP/1.1\r\nA: b\r\n"), None);
    }

    #[test]
    fn a_request_without_end_has_one() {
        let long =
            [&b"GET /metrics HTTP/1.1\r\nA: "[..], &[b'a'; HTTP_REQUEST_OCTETS_MAX]].concat();
        assert!(asked(&long[..HTTP_REQUEST_OCTETS_MAX]).starts_with("HTTP/1.1 431 "));
    }
}
