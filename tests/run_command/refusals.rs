//! Where the guard cannot start it says in one line why, and what mends it.

use std::process::Command;

use crate::harness::{Namespace, complaint, must, root};

/// A shell in namespaces of its own, for devices and mounts, that ends as the guard.
fn shell(before: &str, guard: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_mailguard");
    let script = format!("set -e; {before}\nexec {guard} {program} run");
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "sh", "-c", &script]);
    command
}

const NO_CAPABILITY: &str = "setpriv --bounding-set=-all --inh-caps=-all";

#[test]
fn without_the_privilege() {
    if !root("without_the_privilege") {
        return;
    }
    let said = complaint(&mut shell("", NO_CAPABILITY));
    assert!(said.contains("needs CAP_NET_ADMIN: run as root"), "{said}");
}

#[test]
fn without_the_tun_device() {
    if !root("without_the_tun_device") {
        return;
    }
    let said = complaint(&mut shell("mount -t tmpfs none /dev/net", ""));
    assert!(said.contains("modprobe tun") && said.contains("mknod"), "{said}");
}

#[test]
fn with_a_tun_device_that_may_not_be_opened() {
    if !root("with_a_tun_device_that_may_not_be_opened") {
        return;
    }
    let closed = "mount -t tmpfs -o dev none /dev/net; mknod -m 000 /dev/net/tun c 10 200";
    let said = complaint(&mut shell(closed, NO_CAPABILITY));
    assert!(said.contains("/dev/net/tun may not be opened: run as root"), "{said}");
}

#[test]
fn with_a_leg_that_another_guard_holds() {
    if !root("with_a_leg_that_another_guard_holds") {
        return;
    }
    let namespace = Namespace::new();
    for persistence in ["--fail-open", "--fail-closed"] {
        let first = namespace.guard(&[persistence]);
        let said = complaint(&mut namespace.run(&[]));
        assert!(said.contains("mg-outside is in use by another program"), "{said}");
        let said = complaint(&mut namespace.run(&["--outside", "other"]));
        assert!(said.contains("mg-inside is in use by another program"), "{said}");
        assert!(!namespace.has("other"), "a leg was left behind");
        drop(first);
    }
}

#[test]
fn with_a_name_that_is_no_tun_device() {
    if !root("with_a_name_that_is_no_tun_device") {
        return;
    }
    let namespace = Namespace::new();
    namespace.ip(&["link", "add", "veth0", "type", "veth", "peer", "name", "veth1"]);
    let said = complaint(&mut namespace.run(&["--inside", "veth0"]));
    assert!(said.contains("veth0 exists and is not a TUN device: choose another"), "{said}");
    namespace.ip(&["tuntap", "add", "tap0", "mode", "tap"]);
    let said = complaint(&mut namespace.run(&["--inside", "tap0"]));
    assert!(said.contains("tap0 exists and is not a TUN device"), "{said}");
    namespace.ip(&["tuntap", "add", "tun0", "mode", "tun"]);
    let said = complaint(&mut namespace.run(&["--inside", "tun0"]));
    assert!(said.contains("ip link del tun0"), "{said}");
}

/// Makes `ioctl(TUNSETOFFLOAD)` fail as on a kernel that does not know it, then becomes the guard.
const OLD_KERNEL: &str = r"
import ctypes, os, platform, struct, sys
ioctl = {'x86_64': 16, 'aarch64': 29}[platform.machine()]
def instruction(code, then, otherwise, value): return struct.pack('HBBI', code, then, otherwise, value)
program = b''.join([
    instruction(0x20, 0, 0, 0),
    instruction(0x15, 0, 3, ioctl),
    instruction(0x20, 0, 0, 24),
    instruction(0x15, 0, 1, 0x400454d0),
    instruction(0x06, 0, 0, 0x00050016),
    instruction(0x06, 0, 0, 0x7fff0000),
])
room = ctypes.create_string_buffer(program)
filter = ctypes.create_string_buffer(struct.pack('HxxxxxxP', 6, ctypes.addressof(room)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, filter, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn an_old_kernel_is_a_warning_only() {
    if !root("an_old_kernel_is_a_warning_only") {
        return;
    }
    must("python3", &["-c", ""]);
    let namespace = Namespace::new();
    let program = env!("CARGO_BIN_EXE_mailguard");
    let args = ["-c", OLD_KERNEL, program, "run", "--fail-open"];
    let guard = crate::harness::Guard::start(&mut namespace.command("python3", &args));
    assert!(guard.said.contains("WARN") && guard.said.contains("no offload"), "{}", guard.said);
    assert!(guard.said.contains("offload off"), "{}", guard.said);
}
