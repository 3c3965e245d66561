//! The program by which the kernel brings a frame to the worker that owns its connection
//! (`PACKET_FANOUT_CBPF`): the sum of [`place`](crate::wire::steer::place), in the old packet filter's words.
//!
//! It need not be right: a packet that comes to another worker is handed over. Facts are from the kernel's
//! `Documentation/networking/filter.rst`, and `fanout_demux_bpf` in `net/packet/af_packet.c`.

use libc::sock_filter;

use crate::wire::steer::factors;

const ETHERTYPE: u32 = EXTENSION;
const FLOW_HASH: u32 = EXTENSION + 32;
/// `SKF_AD_OFF`: beyond it is what is not in the packet.
const EXTENSION: u32 = -0x1000_i32 as u32;

const LOAD_WORD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const LOAD_HALF: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
const LOAD_OCTET: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
const LOAD_HALF_AT: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_IND) as u16;
const HEADER_LEN: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
const X_BE: u16 = (libc::BPF_LDX | libc::BPF_IMM) as u16;
const KEEP: u16 = libc::BPF_ST as u16;
const X_FROM: u16 = (libc::BPF_LDX | libc::BPF_MEM) as u16;
const XOR_X: u16 = (libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X) as u16;
const ADD_X: u16 = (libc::BPF_ALU | libc::BPF_ADD | libc::BPF_X) as u16;
const TIMES: u16 = (libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K) as u16;
const SHIFT: u16 = (libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K) as u16;
const MODULO: u16 = (libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
const RETURN_A: u16 = (libc::BPF_RET | libc::BPF_A) as u16;

const fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

const fn unless_equal(k: u32, skip: usize) -> sock_filter {
    sock_filter { code: IF_EQUAL, jt: 0, jf: skip as u8, k }
}

/// Keeps in place 0 all words from `first` to `last` in one.
fn fold(first: u32, last: u32) -> Vec<sock_filter> {
    let mut steps = vec![step(LOAD_WORD, first), step(KEEP, 0)];
    for at in (first + 4..=last).step_by(4) {
        steps.extend([step(LOAD_WORD, at), step(X_FROM, 0), step(XOR_X, 0), step(KEEP, 0)]);
    }
    steps
}

/// The rest, with the header's length in X and the folded addresses in place 0.
fn sum(seed: u64, workers: u32) -> Vec<sock_filter> {
    let (of_addresses, of_ports) = factors(seed);
    vec![
        step(LOAD_HALF_AT, 0),
        step(KEEP, 1),
        step(LOAD_HALF_AT, 2),
        step(X_FROM, 1),
        step(XOR_X, 0),
        step(TIMES, of_ports),
        step(KEEP, 1),
        step((libc::BPF_LD | libc::BPF_MEM) as u16, 0),
        step(TIMES, of_addresses),
        step(X_FROM, 1),
        step(ADD_X, 0),
        step(SHIFT, 16),
        step(MODULO, workers),
        step(RETURN_A, 0),
    ]
}

/// The rest for a fragment, of which only the first has ports: the pieces of a datagram keep their order when they
/// come to one worker, whoever's it is.
fn sum_without_ports(seed: u64, workers: u32) -> Vec<sock_filter> {
    let (of_addresses, _) = factors(seed);
    vec![
        step((libc::BPF_LD | libc::BPF_MEM) as u16, 0),
        step(TIMES, of_addresses),
        step(SHIFT, 16),
        step(MODULO, workers),
        step(RETURN_A, 0),
    ]
}

/// The whole program: TCP by the sum, all else by the kernel's own hash of its flow.
pub(super) fn program(seed: u64, workers: u32) -> Vec<sock_filter> {
    const TCP: u32 = 6;
    const FRAGMENT: u32 = 44;
    /// More fragments, and the offset (RFC 791 section 3.1).
    const IS_FRAGMENT: u32 = 0x3fff;
    let (sum, pieces) = (sum(seed, workers), sum_without_ports(seed, workers));
    let mut v4 = fold(12, 16);
    let skip = sum.len() as u8 + 1;
    v4.push(step(LOAD_HALF, 6));
    v4.push(sock_filter { code: IF_ANY_BIT, jt: skip, jf: 0, k: IS_FRAGMENT });
    v4.push(step(HEADER_LEN, 0));
    v4.extend(sum.iter().chain(&pieces));
    let mut v6 = fold(8, 36);
    v6.extend([step(LOAD_OCTET, 6), unless_equal(TCP, sum.len() + 1), step(X_BE, 40)]);
    v6.extend(sum.iter().chain(&pieces));
    let mut program = vec![step(LOAD_HALF, ETHERTYPE), unless_equal(0x0800, v4.len() + 2)];
    program.extend([step(LOAD_OCTET, 9), unless_equal(TCP, v4.len() + v6.len() + 4)]);
    program.extend(v4);
    program.extend([unless_equal(0x86dd, v6.len() + 3), step(LOAD_OCTET, 6)]);
    let is_tcp = sock_filter { code: IF_EQUAL, jt: 1, jf: 0, k: TCP };
    program.extend([is_tcp, unless_equal(FRAGMENT, v6.len())]);
    program.extend(v6);
    program.extend([step(LOAD_WORD, FLOW_HASH), step(MODULO, workers), step(RETURN_A, 0)]);
    program
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use etherparse::PacketBuilder;

    use super::*;
    use crate::wire::steer::place;

    /// What the kernel would say: the old packet filter, as far as the program needs it.
    fn run(program: &[sock_filter], kind: u32, hash: u32, packet: &[u8]) -> u32 {
        let (mut a, mut x, mut kept, mut at) = (0_u32, 0_u32, [0_u32; 2], 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            at += 1;
            let octets = |from: u32, count: usize| {
                let from = from as usize;
                packet[from..from + count].iter().fold(0, |word, o| word << 8 | u32::from(*o))
            };
            match (code, k) {
                (LOAD_HALF, ETHERTYPE) => a = kind,
                (LOAD_WORD, FLOW_HASH) => a = hash,
                (LOAD_WORD, _) => a = octets(k, 4),
                (LOAD_HALF, _) => a = octets(k, 2),
                (LOAD_OCTET, _) => a = octets(k, 1),
                (LOAD_HALF_AT, _) => a = octets(x + k, 2),
                (HEADER_LEN, _) => x = (octets(k, 1) & 0xf) * 4,
                (X_BE, _) => x = k,
                (KEEP, _) => kept[k as usize] = a,
                (X_FROM, _) => x = kept[k as usize],
                (XOR_X, _) => a ^= x,
                (ADD_X, _) => a = a.wrapping_add(x),
                (TIMES, _) => a = a.wrapping_mul(k),
                (SHIFT, _) => a >>= k,
                (MODULO, _) => a %= k,
                (IF_EQUAL, _) => at += usize::from(if a == k { jt } else { jf }),
                (IF_ANY_BIT, _) => at += usize::from(if a & k != 0 { jt } else { jf }),
                (RETURN_A, _) => return a,
                _ => a = kept[k as usize],
            }
        }
    }

    #[test]
    fn the_kernel_chooses_the_worker_that_owns_the_connection() {
        let seed = 0x1234_5678_9abc_def1;
        let program = program(seed, 3);
        for port in 40_000..40_050 {
            let (mut v4, mut v6) = (Vec::new(), Vec::new());
            let (a4, b4) = ([192, 0, 2, 1], [198, 51, 100, 2]);
            let (a6, b6) = ([1; 16], [0x20, 1, 0xd, 0xb8, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 3, 7]);
            let tcp = |builder: etherparse::PacketBuilderStep<_>, to: &mut Vec<u8>| {
                builder.tcp(port, 25, 1, 1).write(to, &[]).expect("a packet in memory");
            };
            tcp(PacketBuilder::ipv4(a4, b4, 64), &mut v4);
            tcp(PacketBuilder::ipv6(a6, b6, 64), &mut v6);
            let own = |a: SocketAddr, b: SocketAddr| place(a, b, seed) % 3;
            let of_v4 = own((a4, port).into(), (b4, 25).into());
            let of_v6 = own((a6, port).into(), (b6, 25).into());
            assert_eq!(run(&program, 0x0800, 9, &v4), of_v4);
            assert_eq!(run(&program, 0x86dd, 9, &v6), of_v6);
            // Its ports do not count when it is a piece.
            for (place, piece) in [(6, 0x20), (7, 1)] {
                let mut v4 = v4.clone();
                v4[place] |= piece;
                assert_eq!(run(&program, 0x0800, 9, &v4), own((a4, 0).into(), (b4, 0).into()));
            }
            v6[6] = 44;
            assert_eq!(run(&program, 0x86dd, 9, &v6), own((a6, 0).into(), (b6, 0).into()));
        }
        for (kind, packet) in [(0x0806, &[0; 40][..]), (0x0800, &[17; 40]), (0x86dd, &[17; 40])] {
            assert_eq!(run(&program, kind, 7, packet), 1, "all else by the kernel's hash");
        }
    }
}
