//! What the transports know of a session.

/// What one line brought.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Said {
    /// What is shown, with `\n` behind each line; it may be empty, and long.
    pub text: String,
    /// The line was refused: a script that goes on behind it is wrong. A wrong password is a refused
    /// line, too; that is how the transports count attempts.
    pub failed: bool,
    /// The session is over (`exit`, `quit`, `logout`).
    pub ends: bool,
}

/// One operator's session: lines in, text out. It knows no transport, and a transport knows no command.
///
/// Every call is made by one and the same thread, which was there before the jail closed, and which
/// may take its time: no other console waits for it.
pub trait Session: Send {
    /// What is shown before a line is typed: `pixfirewall(config)# `.
    fn prompt(&self) -> String;

    /// Whether the next line is a password, which is not shown while it is typed, and not remembered.
    fn is_secret(&self) -> bool;

    /// The operator has typed a line, without its end: no control character, and at most
    /// [`CONSOLE_LINE_OCTETS_MAX`](crate::limits::CONSOLE_LINE_OCTETS_MAX).
    fn line(&mut self, line: &str) -> Said;

    /// What may follow what has been typed so far (`?`); `\n` behind each line.
    fn help(&self, line: &str) -> String;

    /// What the last word of the line may become (TAB): whole words, of which there may be several or none.
    fn complete(&self, line: &str) -> Vec<String>;

    /// Lines that come by themselves (`debug`, `terminal monitor`) since it was asked last.
    fn asides(&mut self) -> Vec<String>;

    /// Lines of a page before `<--- More --->` (Cisco `terminal pager`): 0 is no end of it, and `None` as
    /// many as the operator's terminal has, or 24.
    fn page_lines(&self) -> Option<u16> {
        None
    }
}
