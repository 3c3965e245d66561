//! Any list of TCP options.

use super::cursor::Cursor;
use crate::wire::options::{
    Allowed, TcpOptions, clamp_mss, clear_others, set_echo, set_sack_blocks, set_timestamp,
};

/// What is allowed, the fields to write, the list.
pub fn options(octets: &[u8]) {
    let mut cursor = Cursor::new(octets);
    let bits = cursor.octet();
    let allowed = Allowed {
        mss: bits & 1 != 0,
        window_scale: bits & 2 != 0,
        sack_permitted: bits & 4 != 0,
        sack: bits & 8 != 0,
        timestamps: bits & 16 != 0,
    };
    let (value, most) = (cursor.u32(), cursor.u16());
    let blocks: Vec<_> = (0..bits >> 5).map(|n| (value ^ u32::from(n), value)).collect();
    let list = cursor.slice(60);
    let read = TcpOptions::parse(list);

    let mut cleared = list.to_vec();
    clear_others(&mut cleared, allowed);
    let once = cleared.clone();
    assert!(!clear_others(&mut cleared, allowed), "what is cleared needs no clearing");
    assert_eq!(cleared, once, "nothing changes then");

    let mut clamped = list.to_vec();
    let was_higher = clamp_mss(&mut clamped, most);
    assert_eq!(was_higher, clamped != list, "it says whether it lowered the segment size");
    let mut stamped = list.to_vec();
    set_timestamp(&mut stamped, value);
    set_echo(&mut stamped, !value);

    let Ok(options) = read else { return };
    let left = TcpOptions::parse(&once).expect("what was read is read when it is cleared");
    // Signatures and joins are judged before anything is cleared.
    let mut within = options.within(allowed);
    (within.is_signed, within.joins) = (false, false);
    assert_eq!(left, within, "what is allowed stays, and nothing else");
    let lowered = TcpOptions::parse(&clamped).expect("the list stays one");
    let mut wanted = options;
    wanted.mss = options.mss.map(|mss| mss.min(most));
    assert_eq!(lowered, wanted, "only the segment size has changed");
    let restamped = TcpOptions::parse(&stamped).expect("the list stays one");
    let mut wanted = options;
    wanted.timestamps = options.timestamps.map(|_| (value, !value));
    assert_eq!(restamped, wanted, "only the timestamps have changed");

    let mut sacked = list.to_vec();
    set_sack_blocks(&mut sacked, &options, &blocks);
    let told = TcpOptions::parse(&sacked).expect("the list stays one");
    let count = options.sack_blocks.map_or(0, |(_, count)| count).min(blocks.len());
    assert_eq!(told.sack_blocks.map_or(0, |(_, count)| count), count, "no more than there were");
    for (index, block) in blocks.iter().take(count).enumerate() {
        assert_eq!(told.sack_block(&sacked, index), *block);
    }
    assert_eq!(told.timestamps, options.timestamps, "nothing else has changed");
}
