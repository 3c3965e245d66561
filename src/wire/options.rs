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
const MD5: u8 = 19;
const TCP_AO: u8 = 29;
const MPTCP: u8 = 30;
/// The subtype of MPTCP that adds a path to a connection (RFC 8684 section 3.2).
const MP_JOIN: u8 = 1;

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
    /// A signature over headers and data (RFC 2385, RFC 5925).
    pub is_signed: bool,
    /// A second path of a connection (RFC 8684 section 3.2).
    pub joins: bool,
    /// Something other than the options above is in the list.
    has_others: bool,
}

/// Which options a segment may carry.
#[derive(Debug, Clone, Copy)]
pub struct Allowed {
    /// Maximum segment size.
    pub mss: bool,
    /// Window scale.
    pub window_scale: bool,
    /// SACK-permitted.
    pub sack_permitted: bool,
    /// SACK blocks.
    pub sack: bool,
    /// Timestamps.
    pub timestamps: bool,
}

impl Allowed {
    /// What a rewriter can honour of a SYN. So MPTCP (RFC 8684), Fast Open (RFC 7413) and whatever
    /// comes next are never negotiated past the guard.
    pub const SYN: Self =
        Self { mss: true, window_scale: true, sack_permitted: true, sack: false, timestamps: true };

    const fn has(self, kind: u8) -> bool {
        match kind {
            MSS => self.mss,
            WINDOW_SCALE => self.window_scale,
            SACK_PERMITTED => self.sack_permitted,
            SACK => self.sack,
            TIMESTAMPS => self.timestamps,
            _ => false,
        }
    }
}

/// A malformed option list: hosts differ on what they do with it, so nobody gets to see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// Walks `list`; each step is `(kind, start, length)` of one option. Returns where it ends.
fn walk(list: &[u8], mut each: impl FnMut(u8, usize, usize)) -> Result<usize, Malformed> {
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
    Ok(at)
}

fn u32_at(list: &[u8], at: usize) -> u32 {
    list.get(at..at + 4).and_then(|o| o.try_into().ok()).map_or(0, u32::from_be_bytes)
}

impl TcpOptions {
    /// Reads an option list. An option that comes twice is malformed too: hosts differ on which of
    /// the two counts.
    pub fn parse(list: &[u8]) -> Result<Self, Malformed> {
        let mut options = Self::default();
        let mut is_wrong = false;
        let mut seen = 0_u16;
        let end = walk(list, |kind, at, len| {
            match (kind, len) {
                (MSS, 4) => {
                    options.mss =
                        list.get(at + 2..at + 4).map(|o| u16::from_be_bytes([o[0], o[1]]));
                }
                (WINDOW_SCALE, 3) => {
                    options.window_shift = list.get(at + 2).map(|&s| s.min(WINDOW_SHIFT_MAX));
                }
                (SACK_PERMITTED, 2) => options.sack_permitted = true,
                (TIMESTAMPS, 10) => {
                    options.timestamps = Some((u32_at(list, at + 2), u32_at(list, at + 6)));
                }
                (SACK, 10 | 18 | 26 | 34) => options.sack_blocks = Some((at + 2, (len - 2) / 8)),
                (MSS | WINDOW_SCALE | SACK_PERMITTED | TIMESTAMPS | SACK, _) => is_wrong = true,
                (MD5 | TCP_AO, _) => options.is_signed = true,
                _ => {
                    let subtype = list.get(at + 2).filter(|_| kind == MPTCP && len > 2);
                    options.joins |= subtype.is_some_and(|octet| octet >> 4 == MP_JOIN);
                    options.has_others = true;
                }
            }
            if kind <= TIMESTAMPS {
                is_wrong |= seen & 1 << kind != 0;
                seen |= 1 << kind;
            }
        })?;
        options.has_others |= list.get(end..).is_some_and(|rest| rest.iter().any(|&o| o != END));
        if is_wrong { Err(Malformed) } else { Ok(options) }
    }

    /// The options as far as they are `allowed`.
    pub fn within(self, allowed: Allowed) -> Self {
        Self {
            mss: self.mss.filter(|_| allowed.mss),
            window_shift: self.window_shift.filter(|_| allowed.window_scale),
            sack_permitted: self.sack_permitted && allowed.sack_permitted,
            sack_blocks: self.sack_blocks.filter(|_| allowed.sack),
            timestamps: self.timestamps.filter(|_| allowed.timestamps),
            has_others: false,
            ..self
        }
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

/// Writes another TSval into `list`.
pub fn set_timestamp(list: &mut [u8], value: u32) {
    write_timestamp(list, 2, value);
}

/// Writes another TSecr into `list`.
pub fn set_echo(list: &mut [u8], echo: u32) {
    write_timestamp(list, 6, echo);
}

fn write_timestamp(list: &mut [u8], field: usize, value: u32) {
    let mut found = None;
    if walk(list, |kind, at, len| {
        if (kind, len) == (TIMESTAMPS, 10) {
            found = Some(at + field);
        }
    })
    .is_ok()
        && let Some(field) = found.and_then(|at| list.get_mut(at..at + 4))
    {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// Overwrites with NOP each option that is not `allowed`, and what lies behind the end with zeros.
/// Returns whether any was there.
pub fn clear_others(list: &mut [u8], allowed: Allowed) -> bool {
    let mut is_cleared = false;
    let mut at = 0;
    while let Some(&kind) = list.get(at) {
        if kind == END {
            let rest = list.get_mut(at..).unwrap_or_default();
            is_cleared |= rest.iter().any(|&octet| octet != END);
            rest.fill(END);
            break;
        }
        let len = if kind == NOP { 1 } else { list.get(at + 1).copied().map_or(0, usize::from) };
        let Some(option) = list.get_mut(at..at + len).filter(|option| !option.is_empty()) else {
            break;
        };
        if kind != NOP && !allowed.has(kind) {
            option.fill(NOP);
            is_cleared = true;
        }
        at += len;
    }
    is_cleared
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

/// Overwrites SACK-Permitted, Timestamps or Window Scale of a SYN with NOP, those that are to be; says whether one was there.
pub fn clear_from_syn(list: &mut [u8], sack: bool, timestamps: bool, window_scale: bool) -> bool {
    let mut found = [None; 3];
    let walked = walk(list, |kind, at, len| {
        let slot = match kind {
            SACK_PERMITTED if sack => 0,
            TIMESTAMPS if timestamps => 1,
            WINDOW_SCALE if window_scale => 2,
            _ => return,
        };
        found[slot] = Some((at, len));
    });
    let found: Vec<_> = found.into_iter().flatten().filter(|_| walked.is_ok()).collect();
    for (at, len) in &found {
        if let Some(option) = list.get_mut(*at..at + len) {
            option.fill(NOP);
        }
    }
    !found.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYN: &[u8] =
        &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 1, 3, 3, 20, 34, 4, 1, 2, 30, 4, 0, 1];

    #[test]
    fn what_a_tcp_map_clears_is_not_offered() {
        for (clears, is_cleared) in [
            ([false, false, false], false),
            ([true, false, false], true),
            ([false, true, true], true),
            ([true, true, true], true),
        ] {
            let mut list = SYN.to_vec();
            assert_eq!(clear_from_syn(&mut list, clears[0], clears[1], clears[2]), is_cleared);
            let options = TcpOptions::parse(&list).unwrap();
            let left = [
                options.sack_permitted,
                options.timestamps.is_some(),
                options.window_shift.is_some(),
            ];
            assert_eq!(left, clears.map(|is_cleared| !is_cleared));
            assert_eq!(options.mss, Some(1460));
        }
        assert!(!clear_from_syn(&mut [4, 9, 1], true, true, true), "a list that is none");
    }

    #[test]
    fn a_syn_is_read() {
        let options = TcpOptions::parse(SYN).unwrap();
        assert_eq!(options.mss, Some(1460));
        assert_eq!(options.window_shift, Some(14), "a larger shift counts as 14");
        assert!(options.sack_permitted);
        assert_eq!(options.timestamps, Some((7, 9)));
    }

    #[test]
    fn what_is_not_allowed_becomes_nop() {
        let mut list = SYN.to_vec();
        assert!(clear_others(&mut list, Allowed::SYN));
        assert_eq!(list[..20], SYN[..20]);
        assert_eq!(list[20..], [1; 8]);
        assert!(!clear_others(&mut list, Allowed::SYN));
        let unscaled = Allowed { window_scale: false, timestamps: false, ..Allowed::SYN };
        assert!(clear_others(&mut list, unscaled));
        assert_eq!(list[..6], SYN[..6]);
        assert_eq!(list[6..], [1; 22]);
        let options = TcpOptions::parse(SYN).unwrap();
        assert_eq!(options.within(unscaled), TcpOptions::parse(&list).unwrap());
    }

    #[test]
    fn what_lies_behind_the_end_is_blanked() {
        let mut list = [1, 0, 7, 9];
        assert!(TcpOptions::parse(&list).unwrap().has_others);
        assert!(clear_others(&mut list, Allowed::SYN));
        assert_eq!(list, [1, 0, 0, 0]);
        assert!(!TcpOptions::parse(&list).unwrap().has_others);
    }

    #[test]
    fn signatures_and_joins_are_seen() {
        let mut md5 = vec![19, 18];
        md5.resize(18, 7);
        assert!(TcpOptions::parse(&md5).unwrap().is_signed);
        assert!(TcpOptions::parse(&[29, 4, 0, 0]).unwrap().is_signed);
        assert!(TcpOptions::parse(&[30, 12, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap().joins);
        assert!(!TcpOptions::parse(&[30, 4, 0x01, 0x81]).unwrap().joins, "MP_CAPABLE");
    }

    #[test]
    fn a_timestamp_is_written_over() {
        let mut list = SYN.to_vec();
        set_timestamp(&mut list, 6);
        assert_eq!(TcpOptions::parse(&list).unwrap().timestamps, Some((6, 9)));
    }

    #[test]
    fn the_echo_is_replaced() {
        let mut list = SYN.to_vec();
        set_echo(&mut list, 0x0102_0304);
        assert_eq!(TcpOptions::parse(&list).unwrap().timestamps, Some((7, 0x0102_0304)));
        assert_eq!((&list[..12], &list[16..]), (&SYN[..12], &SYN[16..]));
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
            &[3, 3, 1, 3, 3, 2],
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
