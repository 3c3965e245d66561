//! What `mailguard run` is told of its consoles.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::server::Listeners;
use super::socket::{default_socket, telnet_address};

/// Where the consoles of a guard are.
#[derive(Debug, Default, clap::Args)]
pub struct ListenArgs {
    /// Unix socket that mailguard console reaches this guard at; it is open to its owner and to root.
    ///
    /// Without it: /run/mailguard/console for root, $XDG_RUNTIME_DIR/mailguard/console for others who
    /// have that; a guard that finds no place there, since another has it, runs without a console.
    #[arg(long, value_name = "PATH")]
    console: Option<PathBuf>,

    /// Run without a console.
    #[arg(long, conflicts_with_all = ["console", "telnet"])]
    no_console: bool,

    /// Serve the console by telnet, too, on ADDR:PORT, ADDR or PORT [127.0.0.1:23 if none is given].
    ///
    /// Without an address it is this machine alone. Telnet is plain text: whoever is on the way reads
    /// it, passwords included. Three wrong passwords close it for their source for half a minute.
    #[arg(
        long,
        value_name = "ADDR:PORT",
        num_args = 0..=1,
        default_missing_value = "23",
        value_parser = telnet_address
    )]
    telnet: Option<SocketAddr>,
}

impl ListenArgs {
    /// Listens, before the jail closes.
    ///
    /// # Errors
    ///
    /// One line: what was asked for cannot be had.
    pub fn open(&self) -> Result<Listeners, String> {
        if self.no_console {
            return Listeners::open(None, None);
        }
        let mut listeners = Listeners::open(self.console.as_deref(), self.telnet)?;
        if self.console.is_none()
            && let Err(why) = listeners.add_socket(&default_socket())
        {
            log::warn!("no console: {why}; name one with --console");
        }
        if let Some(address) = self.telnet.filter(|address| !address.ip().is_loopback()) {
            log::warn!("telnet on {address} is plain text: passwords can be read on the way");
        }
        Ok(listeners)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        listen: ListenArgs,
    }

    fn told(args: &[&str]) -> Result<ListenArgs, String> {
        let args = std::iter::once(&"run").chain(args);
        Cli::try_parse_from(args).map(|cli| cli.listen).map_err(|why| why.to_string())
    }

    #[test]
    fn telnet_is_off_and_then_on_this_machine_alone() {
        let telnet = |args: &[&str]| told(args).map(|args| args.telnet.map(|it| it.to_string()));
        assert_eq!(telnet(&[]), Ok(None));
        assert_eq!(telnet(&["--telnet"]), Ok(Some("127.0.0.1:23".into())));
        assert_eq!(telnet(&["--telnet", "2323"]), Ok(Some("127.0.0.1:2323".into())));
        assert_eq!(telnet(&["--telnet=0.0.0.0:2323"]), Ok(Some("0.0.0.0:2323".into())));
        let wrong = telnet(&["--telnet", "here"]).expect_err("no address");
        assert!(wrong.contains("ADDR:PORT, ADDR or PORT"), "{wrong}");
        assert!(told(&["--no-console", "--telnet"]).is_err());
    }

    #[test]
    fn a_console_that_was_asked_for_must_be_there() {
        let args = told(&["--console", "/dev/null/console"]).expect("arguments");
        assert!(args.open().is_err_and(|why| why.contains("/dev/null")));
        let listeners =
            told(&["--no-console"]).expect("arguments").open().expect("nothing to open");
        assert_eq!(listeners.telnet(), None);
    }
}
