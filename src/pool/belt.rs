//! The belts between the workers: packets that came to the wrong one, and orders.

use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::device::Bell;
use crate::engine::{Arrival, Control, Filter};
use crate::flow::View;
use crate::limits::BELT_PACKETS_MAX;
use crate::observe::Standing;
use crate::stream::Buffer;

/// What the control side asks of a worker.
#[derive(Debug)]
pub(super) enum Order {
    /// For the engine.
    Control(Control),
    /// Tell how it is.
    Count(Sender<Standing>),
    /// Show connections, so many at most, and say how many there are.
    Show(Filter, usize, Sender<(Vec<View>, usize)>),
    /// End.
    Stop,
}

/// A packet on its way to the worker that owns its flow.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) arrival: Arrival,
    pub(super) len: usize,
    pub(super) room: Buffer,
    /// The worker whose room it is.
    from: usize,
}

/// One worker's ends of the belts.
#[derive(Debug)]
pub(super) struct Belts {
    /// The worker's own number.
    pub(super) own: usize,
    bells: Arc<[Arc<Bell>]>,
    to: Vec<Sender<Parcel>>,
    incoming: Receiver<Parcel>,
    homes: Vec<Sender<Buffer>>,
    spares: Receiver<Buffer>,
    /// Buffers that were ever made.
    made: usize,
}

impl Belts {
    /// The ends for each of `workers`.
    pub(super) fn between(workers: usize) -> io::Result<Vec<Self>> {
        let bells =
            (0..workers).map(|_| Bell::new().map(Arc::new)).collect::<io::Result<Arc<[_]>>>()?;
        let (to, incoming): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| bounded(BELT_PACKETS_MAX)).unzip();
        let (homes, spares): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| bounded(BELT_PACKETS_MAX)).unzip();
        let ends = incoming.into_iter().zip(spares).enumerate();
        Ok(ends
            .map(|(own, (incoming, spares))| Self {
                own,
                bells: Arc::clone(&bells),
                to: to.clone(),
                incoming,
                homes: homes.clone(),
                spares,
                made: 0,
            })
            .collect())
    }

    pub(super) fn workers(&self) -> usize {
        self.bells.len()
    }

    pub(super) fn own_bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bells[self.own])
    }

    /// Sends the packet in `room` to `owner`, and leaves an empty room in its place. False when the
    /// belt is full: the packet is still there.
    pub(super) fn send(
        &mut self,
        owner: usize,
        arrival: Arrival,
        len: usize,
        room: &mut Buffer,
    ) -> bool {
        let Some(spare) = self.spare() else {
            return false;
        };
        let parcel = Parcel { arrival, len, room: core::mem::replace(room, spare), from: self.own };
        match self.to[owner].try_send(parcel) {
            Ok(()) => {
                self.bells[owner].ring();
                true
            }
            Err(refused) => {
                let parcel = refused.into_inner();
                self.give_back(self.own, core::mem::replace(room, parcel.room));
                false
            }
        }
    }

    /// An empty room. They are made only while the traffic needs more than ever before.
    fn spare(&mut self) -> Option<Buffer> {
        if let Ok(spare) = self.spares.try_recv() {
            return Some(spare);
        }
        if self.made == BELT_PACKETS_MAX {
            return None;
        }
        self.made += 1;
        Some(Buffer::room())
    }

    /// The next packet that another worker sent.
    pub(super) fn receive(&self) -> Option<Parcel> {
        self.incoming.try_recv().ok()
    }

    /// Sends the room of a parcel home.
    pub(super) fn done(&self, parcel: Parcel) {
        self.give_back(parcel.from, parcel.room);
    }

    fn give_back(&self, to: usize, room: Buffer) {
        // A home has a place for each of its rooms; it is gone only when its worker has ended.
        let _ = self.homes[to].try_send(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::direction::Leg;
    use crate::wire::link::Link;
    use crate::wire::offload::Offload;

    const ARRIVAL: Arrival = Arrival {
        leg: Leg::Inside,
        offload: Offload {
            partial_checksum: false,
            checksum_valid: false,
            gso_size: None,
            ecn: false,
        },
        link: Link::NONE,
    };

    #[test]
    fn a_full_belt_keeps_the_packet_and_empties_again() {
        let mut belts = Belts::between(2).expect("two bells");
        let second = belts.pop().expect("two workers");
        let mut first = belts.pop().expect("two workers");
        let mut mine = Buffer::room();
        for number in 0..BELT_PACKETS_MAX {
            mine.get_mut().unwrap()[0] = number as u8;
            assert!(first.send(1, ARRIVAL, 1, &mut mine));
        }
        mine.get_mut().unwrap()[0] = 0xee;
        assert!(!first.send(1, ARRIVAL, 1, &mut mine));
        assert_eq!(mine[0], 0xee, "a refused packet stays where it was");
        for number in 0..BELT_PACKETS_MAX {
            let parcel = second.receive().expect("a packet that was sent");
            assert_eq!(parcel.room[0], number as u8, "packets keep their order");
            second.done(parcel);
        }
        assert!(second.receive().is_none());
        assert!(first.send(1, ARRIVAL, 1, &mut mine));
        assert_eq!(first.made, BELT_PACKETS_MAX, "rooms that came home are used again");
    }
}
