//! A router behind the guard that cannot bring a packet on, and says so (I19): what the sender hears must be about its
//! own packet, in its own numbers.

use fastrand::Rng;

use crate::packet::{self, u16_at, u32_at};

/// One of so many packets does not get on. (It does all the same: such an error is about one way of many.)
const ONE_OF: u32 = 12;

/// One router.
#[derive(Debug)]
pub(crate) struct Router {
    rng: Rng,
}

/// Where in an IP packet that carries no options its payload begins.
fn header_len(bytes: &[u8]) -> usize {
    if bytes[0] >> 4 == 6 { 40 } else { usize::from(bytes[0] & 15) * 4 }
}

/// The sum of an ICMP message, which is zero if it is right.
fn sum(bytes: &[u8]) -> u16 {
    let at = header_len(bytes);
    let message = &bytes[at..];
    let mut sum = packet::sum_of(message);
    if bytes[0] >> 4 == 6 {
        sum += packet::sum_of(&bytes[8..40]) + message.len() as u64 + 58;
    }
    !packet::fold(sum)
}

impl Router {
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed ^ 0x1c3b) }
    }

    /// What it says of `lost`, if anything: nothing that would make its sender send otherwise.
    pub(crate) fn error(&mut self, lost: &[u8]) -> Option<Vec<u8>> {
        if self.rng.u32(..ONE_OF) > 0 {
            return None;
        }
        let is_v6 = lost[0] >> 4 == 6;
        let least = header_len(lost) + 8;
        let len = *self.rng.choice(&[least, least + 4, 548, 1_200]).unwrap_or(&least);
        let len = len.clamp(least, lost.len().max(least)).min(lost.len());
        let (mut made, kinds): (_, &[[u8; 2]]) = if is_v6 {
            let mut header = vec![0x60, 0, 0, 0, 0, 0, 58, 64];
            header.extend([0xfd, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9]);
            header.extend_from_slice(&lost[8..24]);
            (header, &[[1, 0], [1, 3], [1, 4], [3, 0]])
        } else {
            let mut header = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 9, 9, 9];
            header.extend_from_slice(&lost[12..16]);
            (header, &[[3, 0], [3, 1], [3, 13], [11, 0]])
        };
        let at = made.len();
        made.extend(self.rng.choice(kinds).unwrap_or(&kinds[0]));
        made.extend([0; 6]);
        made.extend_from_slice(&lost[..len]);
        let total = made.len() as u16;
        if is_v6 {
            made[4..6].copy_from_slice(&(total - 40).to_be_bytes());
        } else {
            made[2..4].copy_from_slice(&total.to_be_bytes());
            packet::finish_ipv4(&mut made);
        }
        let sum = sum(&made);
        made[at + 2..at + 4].copy_from_slice(&sum.to_be_bytes());
        Some(made)
    }
}

/// Reads what was made of an error about `lost`: the number that its reader is told.
pub(crate) fn told(error: &[u8], lost: &[u8]) -> Result<u32, String> {
    let is_v6 = lost[0] >> 4 == 6;
    let at = header_len(error);
    let (protocol, target, source) = if is_v6 {
        (error[6], &error[24..40], &lost[8..24])
    } else {
        (error[9], &error[16..20], &lost[12..16])
    };
    if error[0] >> 4 != lost[0] >> 4 || protocol != if is_v6 { 58 } else { 1 } || target != source {
        return Err(format!("I19: it is no error for the sender: {error:02x?}"));
    }
    if sum(error) != 0 {
        return Err("I19: the sum of the error is wrong".into());
    }
    let quote = &error[at + 8..];
    let (tcp, of_lost) = (header_len(quote), header_len(lost));
    if u32_at(quote, tcp) != u32_at(lost, of_lost) || u16_at(lost, of_lost + 2) == 0 {
        return Err("I19: the error is about other ports".into());
    }
    Ok(u32_at(quote, tcp + 4))
}
