//! Which worker a connection belongs to: a sum so simple that the kernel can do it for a packet(7) socket as well.

use core::net::{IpAddr, SocketAddr};

/// The two secret factors of the sum, so that nobody can aim connections at one worker.
pub const fn factors(seed: u64) -> (u32, u32) {
    // The finalizer of SplitMix64 (Steele, Lea, Flood 2014), so that no seed is too small.
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let mixed = mixed ^ (mixed >> 31);
    (mixed as u32 | 1, (mixed >> 32) as u32 | 1)
}

/// A number for the connection between two endpoints, the same in both directions, below 65,536.
pub fn place(a: SocketAddr, b: SocketAddr, seed: u64) -> u32 {
    let (of_addresses, of_ports) = factors(seed);
    let addresses = fold(a.ip()) ^ fold(b.ip());
    let ports = u32::from(a.port() ^ b.port());
    addresses.wrapping_mul(of_addresses).wrapping_add(ports.wrapping_mul(of_ports)) >> 16
}

/// All words of an address in one.
fn fold(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (0..4).fold(0, |folded, word| folded ^ (bits >> (32 * word)) as u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_place_and_connections_spread() {
        let server = SocketAddr::from(([192, 0, 2, 2], 25));
        for seed in [7, 0x0123_4567_89ab_cdef, u64::MAX] {
            let mut workers = [0; 4];
            // Linux clients take even ports.
            for port in (32_768..60_000).step_by(2) {
                let client = SocketAddr::from(([192, 0, 2, 1], port));
                let place = place(client, server, seed);
                assert_eq!(place, super::place(server, client, seed));
                workers[place as usize % 4] += 1;
            }
            let most = workers.iter().max().copied().unwrap_or(0);
            assert!(most < 27_232 / 2 / 2, "{workers:?} with {seed:#x}");
        }
    }
}
