//! TCP options (RFC 9293 section 3.2, RFC 7323, RFC 2018), walked where they lie.
//!
//! What a middlebox does not know must survive, so nothing here goes through a parsed form.

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// The largest shift that counts (RFC 7323 section 2.3).
const WINDOW_SHIFT_MAX: u8 = 14;

/// What is read from one segment's options.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TcpOptions {
    /// Maximum segment size.
    pub mss: Option<u16>,
    /// Window scale shift, at most 14.
    pub window_shift: Option<u8>,
    /// The sender accepts SACK.
    pub sack_permitted: bool,
    /// TSval and TSecr.
    pub timestamps: Option<(u32, u32)>,
    /// Where the SACK blocks start in the option list, and how many there are.
    pub sack_blocks: Option<(usize, usize)>,
}

/// A malformed option list: hosts differ on what they do with it, so nobody gets to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Walks `list`; each step is `(kind, start, length)` of one option.
fn walk(list: &[u8], mut each: impl FnMut(u8, usize, usize)) -> Result<(), Malformed> {
    let mut at = 0;
    while let Some(&kind) = list.get(at) {
        match kind {
            END => break,
            NOP => at += 1,
            _ => {
                let len = usize::from(*list.get(at + 1).ok_or(Malformed)?);
                if len < 2 || at + len > list.len() {
                    return Err(Malformed);
                }
                each(kind, at, len);
                at += len;
            }
        }
    }
    Ok(())
}

fn u32_at(list: &[u8], at: usize) -> u32 {
    list.get(at..at + 4).and_then(|o| o.try_into().ok()).map_or(0, u32::from_be_bytes)
}

impl TcpOptions {
    /// Reads an option list.
    pub fn parse(list: &[u8]) -> Result<Self, Malformed> {
        let mut options = Self::default();
        let mut wrong_length = false;
        walk(list, |kind, at, len| match (kind, len) {
            (MSS, 4) => {
                options.mss = list.get(at + 2..at + 4).map(|o| u16::from_be_bytes([o[0], o[1]]));
            }
            (WINDOW_SCALE, 3) => {
                options.window_shift = list.get(at + 2).map(|&s| s.min(WINDOW_SHIFT_MAX));
            }
            (SACK_PERMITTED, 2) => options.sack_permitted = true,
            (TIMESTAMPS, 10) => {
                options.timestamps = Some((u32_at(list, at + 2), u32_at(list, at + 6)));
            }
            (SACK, 10 | 18 | 26 | 34) => options.sack_blocks = Some((at + 2, (len - 2) / 8)),
            (MSS | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS | SACK, _) => wrong_length = true,
            _ => {}
        })?;
        if wrong_length { Err(Malformed) } else { Ok(options) }
    }

    /// The edges of SACK block `index` of `list`.
    pub fn sack_block(&self, list: &[u8], index: usize) -> (u32, u32) {
        let at = self.sack_blocks.map_or(0, |(start, _)| start) + index * 8;
        (u32_at(list, at), u32_at(list, at + 4))
    }
}

/// Replaces the SACK blocks of `list` by `blocks`, no more than there were, and pads with NOP.
pub fn set_sack_blocks(list: &mut [u8], options: &TcpOptions, blocks: &[(u32, u32)]) {
    let Some((start, count)) = options.sack_blocks else {
        return;
    };
    let Some(option) = list.get_mut(start - 2..start + count * 8) else {
        return;
    };
    let kept = blocks.len().min(count);
    option.fill(NOP);
    if kept == 0 {
        return;
    }
    option[0] = SACK;
    option[1] = (2 + kept * 8) as u8;
    for (field, (left, right)) in option[2..].chunks_exact_mut(8).zip(blocks) {
        field[..4].copy_from_slice(&left.to_be_bytes());
        field[4..].copy_from_slice(&right.to_be_bytes());
    }
}

/// Overwrites with NOP each option of a SYN that a rewriter cannot honour: all but MSS, window
/// scale, SACK-permitted and timestamps. So MPTCP (RFC 8684), Fast Open (RFC 7413), MD5 (RFC 2385)
/// and whatever comes next are never negotiated past the guard. Returns whether any was there.
pub fn clear_unknown(list: &mut [u8]) -> bool {
    let mut unknown = [(0, 0); 20];
    let mut count = 0;
    let walked = walk(list, |kind, at, len| {
        if !matches!(kind, MSS | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS)
            && let Some(slot) = unknown.get_mut(count)
        {
            *slot = (at, len);
            count += 1;
        }
    });
    for &(at, len) in &unknown[..count] {
        list[at..at + len].fill(NOP);
    }
    walked.is_ok() && count > 0
}

/// Lowers the MSS of a SYN to `most`; says whether it was higher. None is added where there is none.
pub fn clamp_mss(list: &mut [u8], most: u16) -> bool {
    let mut higher = None;
    let walked = walk(list, |kind, at, len| {
        let value = list.get(at + 2..at + 4).map(|o| u16::from_be_bytes([o[0], o[1]]));
        if (kind, len) == (MSS, 4) && value.is_some_and(|mss| mss > most) {
            higher = Some(at + 2);
        }
    });
    let field = higher.filter(|_| walked.is_ok()).and_then(|at| list.get_mut(at..at + 2));
    field.is_some_and(|field| {
        field.copy_from_slice(&most.to_be_bytes());
        true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: &[u8] =
        &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 20, 34, 4, 1, 2, 30, 4, 0, 1];

    #[test]
    fn a_syn_is_read() {
        let options = TcpOptions::parse(SYN).unwrap();
        assert_eq!(options.mss, Some(1460));
        assert_eq!(options.window_shift, Some(14), "a larger shift counts as 14");
        assert!(options.sack_permitted);
        assert_eq!(options.timestamps, Some((7, 9)));
    }

    #[test]
    fn what_is_not_known_becomes_nop() {
        let mut list = SYN.to_vec();
        assert!(clear_unknown(&mut list));
        assert_eq!(list[..20], SYN[..20]);
        assert_eq!(list[20..], [1; 8]);
        assert!(!clear_unknown(&mut list));
    }

    #[test]
    fn a_bad_length_is_malformed() {
        for list in [
            &[2, 0][..],
            &[2, 1, 0, 0],
            &[30, 9, 0],
            &[8],
            &[3, 4, 1, 1],
            &[5, 9, 0, 0, 0, 0, 0, 0, 0],
        ] {
            assert_eq!(TcpOptions::parse(list), Err(Malformed), "{list:?}");
        }
        assert!(TcpOptions::parse(&[0, 2, 0]).is_ok(), "nothing counts behind the end");
    }

    #[test]
    fn sack_blocks_are_replaced_and_padded() {
        let mut list = vec![1, 1, 5, 18];
        for edge in [10_u32, 20, 30, 40] {
            list.extend(edge.to_be_bytes());
        }
        let options = TcpOptions::parse(&list).unwrap();
        assert_eq!(options.sack_block(&list, 1), (30, 40));
        set_sack_blocks(&mut list, &options, &[(31, 41)]);
        assert_eq!(list[2..12], [5, 10, 0, 0, 0, 31, 0, 0, 0, 41]);
        assert_eq!(list[12..], [1; 8]);
        let options = TcpOptions::parse(&list).unwrap();
        set_sack_blocks(&mut list, &options, &[]);
        assert_eq!(TcpOptions::parse(&list).unwrap().sack_blocks, None);
    }
}
