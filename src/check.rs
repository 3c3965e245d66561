//! `mailguard check`: what a configuration would do, without privileges and without doing it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{What, load};
use crate::keeper::read;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The file; - is standard input.
    file: PathBuf,

    /// Prints the configuration that comes of it.
    #[arg(long)]
    print: bool,
}

/// Checks a configuration: 0 when it is good, lines that mailguard does nothing of included; 1 when a line is wrong; 2 when
/// it cannot be read.
pub fn run(args: &Args) -> ExitCode {
    let (name, text) = if args.file.as_os_str() == "-" {
        (
            "standard input".to_owned(),
            io::read_to_string(io::stdin()).map_err(|why| why.to_string()),
        )
    } else {
        let missing = || format!("cannot read {}: there is no such file", args.file.display());
        (
            args.file.display().to_string(),
            read(&args.file).and_then(|text| text.ok_or_else(missing)),
        )
    };
    let text = match text {
        Ok(text) => text,
        Err(why) => {
            let _ = writeln!(io::stderr(), "mailguard: {why}");
            return ExitCode::from(2);
        }
    };
    let loaded = load(&text, |_| "$".into());
    let mut shown: String = loaded.remarks.iter().map(|remark| remark.show(&name)).collect();
    let count =
        |is: fn(&What) -> bool| loaded.remarks.iter().filter(|remark| is(&remark.what)).count();
    let errors = count(|what| matches!(what, What::Error(_)));
    let unsupported = count(|what| matches!(what, What::Unsupported(_)));
    let _ = writeln!(shown, "{name}: {errors} wrong, {unsupported} unsupported");
    let _ = io::stderr().write_all(shown.as_bytes());
    if args.print {
        let _ = io::stdout().write_all(loaded.config.text(false).as_bytes());
    }
    if errors > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
