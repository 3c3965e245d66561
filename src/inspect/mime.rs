//! Looks into the parts of a message (RFC 2045 to 2047, 2183, 2231), in the memory of a few lines.
//!
//! Forgiving as mail programs are: a value without quotes goes up to the semicolon, a boundary counts whatever the
//! type, a part's header ends at a boundary too.

use memchr::memchr_iter;

use super::Observer;
use super::classes::{Searches, Stop, act, settle, weigh};
use crate::limits::BOUNDARIES_MAX;
use crate::policy::{Class, Match, MimeEncoding, Regex};

/// RFC 2046 section 5.1.1.
const BOUNDARY_OCTETS_MAX: usize = 70;

/// `--`, the boundary, and `--` once more.
const DELIMITER_OCTETS_MAX: usize = BOUNDARY_OCTETS_MAX + 4;

/// Longer words are none that matter.
const WORD_OCTETS_MAX: usize = 32;

/// The fields that say something of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Encoding,
    Type,
    Disposition,
}

/// What a parameter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parameter {
    Filename,
    Boundary,
    Other,
}

/// Where in a field of the header.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Name,
    Main(Field),
    ParameterName,
    Value(Parameter),
    Quoted(Parameter),
    Bare(Parameter),
    BehindValue,
    Ignored,
}

/// A short word, in lower case; what is longer is not kept.
#[derive(Debug, Default, Clone)]
struct Word {
    octets: [u8; WORD_OCTETS_MAX],
    len: usize,
}

impl Word {
    fn push(&mut self, octet: u8) {
        if let Some(slot) = self.octets.get_mut(self.len) {
            *slot = octet.to_ascii_lowercase();
        }
        self.len = self.len.saturating_add(1);
    }

    fn text(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    fn starts_with(&self, start: &[u8]) -> bool {
        self.octets.starts_with(start)
    }
}

/// One message's parts.
#[derive(Debug, Clone)]
pub(super) struct Mime {
    in_header: bool,
    /// The part is a message itself, or is one if nothing else is said.
    is_message: bool,
    is_digest: bool,
    has_type: bool,
    boundaries: Vec<Box<[u8]>>,
    has_too_many: bool,
    /// The line in hand, as far as it can be a delimiter.
    line: [u8; DELIMITER_OCTETS_MAX],
    column: usize,
    at: At,
    comments: usize,
    is_escaped: bool,
    /// A blank in a value without quotes, of which more may come.
    owes_blank: bool,
    word: Word,
    boundary: Vec<u8>,
    /// A file name has begun that is not over, so many octets long.
    filename: Option<u64>,
    types: Searches,
    filenames: Searches,
}

fn filetype(matches: &Match) -> Option<&Regex> {
    if let Match::MimeFiletype(regex) = matches { Some(regex) } else { None }
}

fn filename_length(matches: &Match) -> Option<u32> {
    if let Match::MimeFilenameLength(most) = matches { Some(*most) } else { None }
}

/// Whether a line begins behind those octets.
fn ends_line(octets: &[u8]) -> bool {
    octets.last().is_none_or(|last| *last == b'\n')
}

fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

impl Mime {
    /// A message begins, if the map has anything to say of its parts.
    pub(super) fn begin(map: &[Class]) -> Option<Box<Self>> {
        map.iter().any(|class| class.matches.is_mime()).then(|| {
            Box::new(Self {
                in_header: true,
                is_message: false,
                is_digest: false,
                has_type: false,
                boundaries: Vec::new(),
                has_too_many: false,
                line: [0; DELIMITER_OCTETS_MAX],
                column: 0,
                at: At::default(),
                comments: 0,
                is_escaped: false,
                owes_blank: false,
                word: Word::default(),
                boundary: Vec::new(),
                filename: None,
                types: Searches::default(),
                filenames: Searches::default(),
            })
        })
    }

    /// Octets of memory.
    pub(super) fn memory(&self) -> usize {
        let boundaries = self.boundaries.capacity() * size_of::<Box<[u8]>>()
            + self.boundaries.iter().map(|boundary| boundary.len()).sum::<usize>();
        let searches = self.types.memory() + self.filenames.memory();
        size_of::<Self>() + boundaries + self.boundary.capacity() + searches
    }

    /// Whether the next octet begins a line, and one that says nothing unless it is a delimiter.
    pub(super) fn is_between_lines(&self) -> bool {
        !self.in_header && self.column == 0
    }

    /// How many octets of whole `lines`, as they are sent, come before one that may be a delimiter. There,
    /// [`Mime::is_between_lines`] holds.
    pub(super) fn plain_lines(&self, lines: &[u8]) -> usize {
        if self.boundaries.is_empty() && !self.has_too_many {
            return lines.len();
        }
        let begins_line = |at: usize| {
            let before = lines.get(..at).unwrap_or_default();
            // A dot that begins a line hides nothing.
            let before = before.strip_suffix(b".").filter(|rest| ends_line(rest)).unwrap_or(before);
            ends_line(before).then_some(before.len())
        };
        memchr_iter(b'-', lines)
            .filter(|at| lines.get(at + 1) == Some(&b'-'))
            .find_map(begins_line)
            .unwrap_or(lines.len())
    }

    /// Octets of a line, without its end; the error says after how many it stops.
    pub(super) fn octets(
        &mut self,
        octets: &[u8],
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), (usize, Stop)> {
        for (at, &octet) in octets.iter().enumerate() {
            let may_be_delimiter = self.column < 2 || self.line.starts_with(b"--");
            if !self.in_header && !may_be_delimiter {
                self.column = self.column.saturating_add(octets.len() - at);
                return Ok(());
            }
            if self.column == 0 {
                self.line = [0; DELIMITER_OCTETS_MAX];
            }
            if let Some(slot) = self.line.get_mut(self.column) {
                *slot = octet;
            }
            if self.in_header {
                self.header(octet, map, observer).map_err(|stop| (at, stop))?;
            }
            self.column = self.column.saturating_add(1);
        }
        Ok(())
    }

    /// The line has ended.
    pub(super) fn line_end(
        &mut self,
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), Stop> {
        let is_blank = self.column == 0;
        let delimiter = if is_blank { None } else { self.delimiter() };
        self.column = 0;
        if let Some(opens) = delimiter {
            self.header_end(map, observer)?;
            self.in_header = opens;
        } else if is_blank && self.in_header {
            self.in_header = self.header_end(map, observer)?;
        }
        Ok(())
    }

    /// The message has ended.
    pub(super) fn finish(
        &mut self,
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), Stop> {
        if self.in_header {
            self.header_end(map, observer)?;
        }
        Ok(())
    }

    /// Whether the line is a delimiter, and then whether a part follows.
    fn delimiter(&self) -> Option<bool> {
        let line = self.line.get(..self.column).unwrap_or(&self.line);
        let rest = line.strip_prefix(b"--")?;
        let text = rest.trim_ascii_end();
        if self.boundaries.iter().any(|boundary| **boundary == *text) {
            return Some(true);
        }
        // It is enough that the line begins with it (RFC 2046 section 5.1.1).
        let behind = self.boundaries.iter().find_map(|boundary| rest.strip_prefix(&**boundary));
        behind.map(|rest| !rest.starts_with(b"--")).or_else(|| self.has_too_many.then_some(true))
    }

    /// The header is over, and so is its last field; whether the header of a message follows.
    fn header_end(&mut self, map: &[Class], observer: &mut impl Observer) -> Result<bool, Stop> {
        self.field_end(map, observer)?;
        let is_message = self.is_message || (self.is_digest && !self.has_type);
        (self.is_message, self.has_type) = (false, false);
        Ok(is_message)
    }

    /// One octet of a header.
    fn header(
        &mut self,
        octet: u8,
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), Stop> {
        if self.column == 0 && !is_blank(octet) {
            self.field_end(map, observer)?;
        }
        if self.is_comment(octet) {
            return Ok(());
        }
        match self.at {
            At::Ignored => {}
            At::Name if octet == b':' => {
                self.at = match self.word.text() {
                    b"content-transfer-encoding" => At::Main(Field::Encoding),
                    b"content-type" => At::Main(Field::Type),
                    b"content-disposition" => At::Main(Field::Disposition),
                    _ => At::Ignored,
                };
                self.word = Word::default();
                if self.at == At::Main(Field::Type) {
                    self.types = Searches::begin(map, filetype);
                }
            }
            At::Name => self.push(octet),
            At::Main(field) if octet == b';' => {
                self.main_end(field, map, observer)?;
                self.at = At::ParameterName;
            }
            At::Main(field) => {
                if field == Field::Type && !is_blank(octet) {
                    self.types.step(map, filetype, octet.to_ascii_lowercase());
                }
                self.push(octet);
            }
            At::ParameterName if octet == b';' => self.word = Word::default(),
            At::ParameterName if octet == b'=' => {
                let parameter = self.parameter(map, observer)?;
                self.word = Word::default();
                self.at = At::Value(parameter);
            }
            At::ParameterName => self.push(octet),
            At::Value(_) if is_blank(octet) => {}
            At::Value(parameter) if octet == b'"' => self.at = At::Quoted(parameter),
            At::Value(_) | At::Bare(_) | At::BehindValue if octet == b';' => {
                self.at = At::ParameterName;
            }
            At::BehindValue => {}
            At::Bare(_) if is_blank(octet) => self.owes_blank = true,
            At::Value(parameter) | At::Bare(parameter) => {
                if core::mem::take(&mut self.owes_blank) {
                    self.value(parameter, b' ', map, observer)?;
                }
                self.at = At::Bare(parameter);
                self.value(parameter, octet, map, observer)?;
            }
            At::Quoted(parameter) => {
                if core::mem::take(&mut self.is_escaped) {
                    self.value(parameter, octet, map, observer)?;
                } else if octet == b'\\' {
                    self.is_escaped = true;
                } else if octet == b'"' {
                    self.at = At::BehindValue;
                } else {
                    self.value(parameter, octet, map, observer)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the octet belongs to a comment (RFC 5322 section 3.2.2).
    fn is_comment(&mut self, octet: u8) -> bool {
        let is_allowed = matches!(self.at, At::Main(_) | At::ParameterName | At::BehindValue);
        if self.comments > 0 {
            if core::mem::take(&mut self.is_escaped) {
                return true;
            }
            match octet {
                // One that is never closed hides nothing.
                b';' => {
                    self.comments = 0;
                    return false;
                }
                b'\\' => self.is_escaped = true,
                b'(' => self.comments = self.comments.saturating_add(1),
                b')' => self.comments -= 1,
                _ => {}
            }
            return true;
        }
        if is_allowed && octet == b'(' {
            self.comments = 1;
            return true;
        }
        false
    }

    /// Keeps an octet of a word; blanks in one are none of it.
    fn push(&mut self, octet: u8) {
        if !is_blank(octet) {
            self.word.push(octet);
        }
    }

    /// What the parameter is whose name has ended. One that goes on with another (RFC 2231 section 3) is the same.
    fn parameter(
        &mut self,
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<Parameter, Stop> {
        let name = self.word.text();
        let (base, section) = match name.iter().position(|octet| *octet == b'*') {
            Some(star) => (&name[..star], &name[star + 1..]),
            None => (name, &b""[..]),
        };
        let goes_on = section.first().is_some_and(|digit| (b'1'..=b'9').contains(digit));
        let parameter = match base {
            b"filename" | b"name" => Parameter::Filename,
            b"boundary" => Parameter::Boundary,
            _ => Parameter::Other,
        };
        match parameter {
            Parameter::Filename if !(goes_on && self.filename.is_some()) => {
                self.filename_end(map, observer)?;
                self.filename = Some(0);
                self.filenames = Searches::begin(map, filetype);
            }
            Parameter::Boundary if !goes_on => self.boundary.clear(),
            Parameter::Filename | Parameter::Boundary | Parameter::Other => {}
        }
        Ok(parameter)
    }

    /// One octet of the value of a parameter.
    fn value(
        &mut self,
        parameter: Parameter,
        octet: u8,
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), Stop> {
        match parameter {
            Parameter::Filename => {
                let length = self.filename.unwrap_or_default();
                weigh(map, length..length + 1, filename_length, observer)
                    .map_err(|(_, stop)| stop)?;
                self.filename = Some(length + 1);
                self.filenames.step(map, filetype, octet);
            }
            Parameter::Boundary if self.boundary.len() < BOUNDARY_OCTETS_MAX => {
                self.boundary.push(octet);
            }
            Parameter::Boundary | Parameter::Other => {}
        }
        Ok(())
    }

    /// The value of a field is over, up to its parameters.
    fn main_end(
        &mut self,
        field: Field,
        map: &[Class],
        observer: &mut impl Observer,
    ) -> Result<(), Stop> {
        let word = core::mem::take(&mut self.word);
        match field {
            Field::Encoding if word.len > 0 => {
                let encoding = MimeEncoding::named(word.text());
                let holds = |class: &Class| {
                    let Match::MimeEncoding(encodings) = class.matches else { return None };
                    Some(encodings.contains(encoding))
                };
                act(map, holds, observer)
            }
            Field::Type if word.len > 0 => {
                self.has_type = true;
                self.is_message |= word.starts_with(b"message/");
                self.is_digest |= word.text() == b"multipart/digest";
                act(map, |class| self.types.found(map, filetype, class), observer)
            }
            Field::Encoding | Field::Type | Field::Disposition => Ok(()),
        }
    }

    /// A file name is over. `not` says something of media types alone.
    fn filename_end(&mut self, map: &[Class], observer: &mut impl Observer) -> Result<(), Stop> {
        let Some(length) = self.filename.take() else { return Ok(()) };
        settle(map, length, filename_length, observer)?;
        let found = |class: &Class| {
            self.filenames.found(map, filetype, class).filter(|_| !class.is_negated)
        };
        act(map, found, observer)
    }

    /// The field is over; another begins.
    fn field_end(&mut self, map: &[Class], observer: &mut impl Observer) -> Result<(), Stop> {
        if let At::Main(field) = self.at {
            self.main_end(field, map, observer)?;
        }
        self.filename_end(map, observer)?;
        if !self.boundary.is_empty() {
            let boundary = core::mem::take(&mut self.boundary).into_boxed_slice();
            if self.boundaries.len() >= BOUNDARIES_MAX {
                self.has_too_many = true;
            } else if !self.boundaries.contains(&boundary) {
                self.boundaries.push(boundary);
            }
        }
        self.word = Word::default();
        (self.at, self.comments, self.is_escaped, self.owes_blank) = (At::Name, 0, false, false);
        Ok(())
    }
}
