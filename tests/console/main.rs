//! The console over real sockets: a server with a small session of its own, and `mailguard console`.

#![cfg(target_os = "linux")]

#[path = "../../src/console/fake.rs"]
#[allow(dead_code, unreachable_pub, reason = "the unit tests use all of it")]
mod fake;
mod script;
mod server;
mod telnet;
mod terminal;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use mailguard::console::{Factory, Listeners, Patience, Said, Session};
use mailguard::jail::Warden;
use serde_json::{Value, json};

use fake::Fake;

/// Long enough for anything that happens at all.
const LONG: Duration = Duration::from_secs(20);

/// A server of this process, and a directory of its own.
struct Served {
    directory: PathBuf,
    telnet: Option<SocketAddr>,
    /// Lets sessions that hang go on.
    released: Arc<AtomicBool>,
}

impl Served {
    fn start(patience: Patience) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("mailguard-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        let socket = directory.join("console");
        let listeners = Listeners::open(Some(&socket), Some(any_port)).expect("sockets");
        let listeners = listeners.patience(patience);
        let telnet = listeners.telnet();
        let released = Arc::new(AtomicBool::new(false));
        let release = Arc::clone(&released);
        let local: Factory = Arc::new(move || Box::new(Fake::held(Arc::clone(&release))));
        let remote: Factory = Arc::new(|| Box::new(Fake::locked()));
        listeners.start(&local, &remote, &mut Warden::new(false)).expect("threads");
        Self { directory, telnet, released }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("console")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.released.store(true, Ordering::Release);
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A client that speaks the protocol itself.
struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("a server");
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        Self { stream: BufReader::new(stream) }
    }

    fn send(&mut self, octets: &[u8]) {
        self.stream.get_mut().write_all(octets).expect("a server that reads");
    }

    fn ask(&mut self, ask: &Value) {
        self.send(format!("{ask}\n").as_bytes());
    }

    /// The next thing that the server says; `None` at the end.
    fn hear(&mut self) -> Option<Value> {
        let mut line = String::new();
        let len = self.stream.read_line(&mut line).expect("an answer in time");
        (len > 0).then(|| serde_json::from_str(&line).expect("JSON"))
    }

    /// What a line brings; the prompt behind it has come, too.
    fn line(&mut self, line: &str) -> Value {
        self.ask(&json!({"ask": "line", "line": line}));
        let said = self.hear().expect("an answer");
        assert_eq!(said["say"], "said", "{said}");
        if said["ends"] == false {
            assert_eq!(self.hear().expect("a prompt")["say"], "prompt");
        }
        said
    }

    /// One that has been served.
    fn welcome(socket: &Path) -> Self {
        let mut client = Self::connect(socket);
        assert_eq!(client.hear().expect("a prompt")["say"], "prompt");
        client
    }
}
