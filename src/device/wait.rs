//! Waiting: for a packet on either leg, or for a bell rung by another thread.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Gone, Queue};
use crate::direction::Leg;
use crate::limits::DOWN_LOOK_EVERY;

/// Wakes the thread that waits with it.
#[derive(Debug)]
pub struct Bell(EventFd);

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    ///
    /// The process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(EventFd::from_value_and_flags(0, flags)?))
    }

    /// Wakes the waiter. Put what it is to find in place first.
    pub fn ring(&self) {
        // It fails only when the count is full, and then the bell is ringing.
        let _ = self.0.write(1);
    }

    /// Makes the bell silent. Do it before looking for what was put in place, or a ring is lost.
    pub fn silence(&self) {
        // It fails only when the bell is silent.
        let _ = self.0.read();
    }
}

/// What a wait ended with.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// The outside leg has a packet.
    pub outside: bool,
    /// The inside leg has a packet.
    pub inside: bool,
    /// The bell rang.
    pub bell: bool,
}

impl Readiness {
    /// Whether there is anything to do.
    pub const fn is_any(self) -> bool {
        self.outside || self.inside || self.bell
    }

    /// Whether there is a packet on `leg`.
    pub const fn on(self, leg: Leg) -> bool {
        match leg {
            Leg::Outside => self.outside,
            Leg::Inside => self.inside,
        }
    }
}

/// Looks for something to do without a system call, as far as the queues let themselves be seen through.
pub fn glance(outside: &Queue, inside: &Queue) -> Readiness {
    Readiness { outside: outside.shows_packet(), inside: inside.shows_packet(), bell: false }
}

/// Sleeps until there is something to do, at most `timeout` (rounded up to milliseconds).
///
/// # Errors
///
/// A leg whose device is [`Gone`].
pub fn wait(
    outside: &Queue,
    inside: &Queue,
    bell: &Bell,
    timeout: Option<Duration>,
) -> Result<Readiness, (Leg, Gone)> {
    let legs = [(Leg::Outside, outside), (Leg::Inside, inside)];
    let is_any_down = legs.iter().any(|(_, queue)| queue.is_down());
    let timeout = if is_any_down {
        Some(timeout.map_or(DOWN_LOOK_EVERY, |timeout| timeout.min(DOWN_LOOK_EVERY)))
    } else {
        timeout
    };
    let timeout = timeout.map_or(PollTimeout::NONE, |wait| {
        let millis = wait.as_micros().div_ceil(1000);
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    });
    let mut fds = [
        PollFd::new(outside.as_fd(), PollFlags::POLLIN),
        PollFd::new(inside.as_fd(), PollFlags::POLLIN),
        PollFd::new(bell.0.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut fds, timeout) {
        Ok(0) | Err(Errno::EINTR) if !is_any_down => return Ok(Readiness::default()),
        Ok(_) | Err(Errno::EINTR) => {}
        // ENOMEM: nothing is lost by asking again.
        Err(_) => std::thread::sleep(Duration::from_millis(1)),
    }
    let [of_outside, of_inside, of_bell] =
        fds.map(|fd| fd.revents().unwrap_or_else(PollFlags::empty));
    for ((leg, queue), seen) in legs.into_iter().zip([of_outside, of_inside]) {
        let found = if seen.intersects(PollFlags::POLLERR | PollFlags::POLLNVAL) {
            queue.trouble()
        } else if queue.is_down() {
            queue.look()
        } else {
            Ok(())
        };
        found.map_err(|gone| (leg, gone))?;
    }
    Ok(Readiness {
        outside: of_outside.contains(PollFlags::POLLIN),
        inside: of_inside.contains(PollFlags::POLLIN),
        bell: of_bell.contains(PollFlags::POLLIN),
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::device::TunQueue;

    fn queue() -> (Queue, UnixDatagram) {
        let (near, far) = UnixDatagram::pair().expect("a pair of sockets");
        (Queue::Tun(TunQueue::new(OwnedFd::from(near), false)), far)
    }

    #[test]
    fn it_tells_what_there_is_to_do() {
        let ((outside, far_outside), (inside, far_inside)) = (queue(), queue());
        let bell = Bell::new().expect("a descriptor");
        let look = || wait(&outside, &inside, &bell, Some(Duration::ZERO));
        let mut expected = Readiness::default();
        assert_eq!(look(), Ok(expected));
        far_inside.send(b"a").expect("room in a socket");
        expected.inside = true;
        assert_eq!(look(), Ok(expected));
        bell.ring();
        bell.ring();
        expected.bell = true;
        assert_eq!(look(), Ok(expected));
        far_outside.send(b"b").expect("room in a socket");
        bell.silence();
        expected.outside = true;
        expected.bell = false;
        assert_eq!(look(), Ok(expected));
    }
}
