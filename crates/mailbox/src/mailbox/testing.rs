//! Short ways for tests.

use super::Mailbox;
use super::driver::DriverSide;
use super::item::{Item, Reached, Taken, Ticket};
use crate::error::SendError;
use crate::sync::{Arc, lock};

impl<D> Mailbox<D> {
    /// The side of a new driver.
    pub(crate) fn side(self: &Arc<Self>) -> DriverSide<D> {
        DriverSide::new(Arc::clone(self))
    }

    /// Puts an item in, if there is room now.
    pub(crate) fn try_push(&self, item: Item) -> Result<Ticket, SendError> {
        let receipt = self.offer(item, |lost| panic!("{lost:?}"))?;
        receipt.ticket.ok_or(SendError::Full)
    }
}

impl<D> DriverSide<D> {
    /// Takes the next item, control frames first.
    pub(crate) fn take_one(&self) -> Option<Taken> {
        let mut one = None;
        self.take(1, 1, |item| one = Some(item));
        one
    }

    /// The number of the last item that the driver has taken of each lane.
    pub(crate) fn taken(&self) -> Reached {
        lock(&self.mailbox.state).taken()
    }
}
