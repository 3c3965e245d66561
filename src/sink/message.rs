//! One message while it arrives: decoded, checked, and kept on disk when asked.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::data::{Decoder, Inspection, Verdict};
use super::totals::Totals;

/// One message while it arrives.
#[derive(Debug)]
pub(super) struct Message {
    decoder: Decoder,
    intake: Intake,
}

/// Where decoded content goes.
#[derive(Debug)]
struct Intake {
    inspection: Inspection,
    saving: Option<Saving>,
    max_size: u64,
}

impl Message {
    /// Begins a message of connection `connection`.
    pub(super) fn begin(save: Option<&Path>, max_size: u64, connection: u64) -> io::Result<Self> {
        let saving = save.map(|dir| Saving::begin(dir, connection)).transpose()?;
        let intake = Intake { inspection: Inspection::new(), saving, max_size };
        Ok(Self { decoder: Decoder::new(), intake })
    }

    /// Takes mail data up to its end, or all; whether it ended.
    pub(super) fn feed(&mut self, octets: &[u8]) -> (usize, bool) {
        self.decoder.feed(octets, |content| self.intake.take(content))
    }

    /// Takes octets of a BDAT chunk.
    pub(super) fn feed_chunk(&mut self, octets: &[u8]) {
        self.decoder.feed_chunk(octets, |content| self.intake.take(content));
    }

    /// Whether it is larger than allowed.
    pub(super) fn is_too_large(&self) -> bool {
        self.intake.is_too_large()
    }

    /// Ends the message, which is the `number`th, and counts what it was made of.
    pub(super) fn finish(self, number: u64, totals: &mut Totals) -> (Verdict, io::Result<()>) {
        totals.octets += self.intake.inspection.octets;
        totals.bare_cr += self.decoder.bare_cr;
        totals.bare_lf += self.decoder.bare_lf;
        totals.long_lines += self.decoder.long_lines;
        let saved = self.intake.saving.map_or(Ok(()), |saving| saving.finish(number));
        (self.intake.inspection.verdict(), saved)
    }
}

impl Intake {
    fn is_too_large(&self) -> bool {
        self.max_size > 0 && self.inspection.octets > self.max_size
    }

    fn take(&mut self, content: &[u8]) {
        self.inspection.take(content);
        if !self.is_too_large()
            && let Some(saving) = &mut self.saving
        {
            saving.write(content);
        }
    }
}

/// A file that has its name only when its message is whole.
#[derive(Debug)]
struct Saving {
    file: BufWriter<File>,
    part: PathBuf,
    dir: PathBuf,
    error: Option<io::Error>,
}

impl Saving {
    fn begin(dir: &Path, connection: u64) -> io::Result<Self> {
        let part = dir.join(format!("connection-{connection}.part"));
        let file = BufWriter::new(File::create(&part)?);
        Ok(Self { file, part, dir: dir.to_owned(), error: None })
    }

    fn write(&mut self, content: &[u8]) {
        if self.error.is_none() {
            self.error = self.file.write_all(content).err();
        }
    }

    fn finish(mut self, number: u64) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        self.file.flush()?;
        fs::rename(&self.part, self.dir.join(format!("{number:06}.eml")))
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; of a message that broke off nothing stays.
        let _ = fs::remove_file(&self.part);
    }
}
