//! A call's turn: where it is, and how it moves.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Paused, Refused, Turns, Who};

/// The permission to run a call. Dropping it ends the turn.
pub(crate) struct Turn {
    pub(super) turns: Arc<Turns>,
    pub(super) who: Who,
    pub(super) place: Place,
    pub(super) suspect: bool,
}

/// Where a call is.
pub(super) enum Place {
    Short,
    Long,
    Away {
        long: bool,
    },
    Paused {
        number: u64,
        resumed: oneshot::Receiver<()>,
    },
}

impl Turn {
    /// Whether the call was demoted.
    pub(crate) fn is_long(&self) -> bool {
        matches!(
            self.place,
            Place::Long | Place::Paused { .. } | Place::Away { long: true }
        )
    }

    /// Whether another call of this user had been demoted already when this one began.
    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect
    }

    /// Moves to a long place. `false`: there is none, so that the call has to pause until
    /// [`Turn::resumed`].
    ///
    /// # Errors
    ///
    /// [`Refused::Full`] if too many are paused already: the call has to be ended.
    pub(crate) fn demote(&mut self) -> Result<bool, Refused> {
        if !matches!(self.place, Place::Short) {
            return Ok(true);
        }
        let at_once = {
            let mut state = self.turns.lock();
            let bounds = &self.turns.bounds;
            let share = state.user(self.who).long;
            if state.long < bounds.long && share < bounds.long_per_user {
                state.long += 1;
                state.user(self.who).long += 1;
                self.place = Place::Long;
            } else if state.make_room(bounds, self.who) {
                let (caller, resumed) = oneshot::channel();
                state.last_paused += 1;
                let number = state.last_paused;
                state.paused.push_back(Paused {
                    number,
                    who: self.who,
                    caller,
                });
                self.place = Place::Paused { number, resumed };
            } else {
                return Err(Refused::Full);
            }
            state.short -= 1;
            state.user(self.who).demoted += 1;
            matches!(self.place, Place::Long)
        };
        self.turns.hand_out();
        Ok(at_once)
    }

    /// Waits until a paused call may go on.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`] if it lost its place to the call of another user.
    pub(crate) async fn resumed(&mut self) -> Result<(), Refused> {
        if let Place::Paused { resumed, .. } = &mut self.place {
            resumed.await.map_err(|_| Refused::Full)?;
            self.place = Place::Long;
        }
        Ok(())
    }

    /// Gives up the place while a service works, if not too many have done so.
    pub(crate) fn leave(&mut self) {
        let long = match self.place {
            Place::Short => false,
            Place::Long => true,
            Place::Away { .. } | Place::Paused { .. } => return,
        };
        {
            let mut state = self.turns.lock();
            if state.away >= self.turns.bounds.away {
                return;
            }
            state.away += 1;
            if long {
                state.long -= 1;
                state.user(self.who).long -= 1;
            } else {
                state.short -= 1;
            }
        }
        self.place = Place::Away { long };
        self.turns.hand_out();
    }

    /// Takes the place back at once, even if there are then too many for a moment.
    pub(crate) fn come_back(&mut self) {
        if let Place::Away { long } = self.place {
            let mut state = self.turns.lock();
            state.away -= 1;
            if long {
                state.long += 1;
                state.user(self.who).long += 1;
                self.place = Place::Long;
            } else {
                state.short += 1;
                self.place = Place::Short;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let demoted = self.is_long();
        {
            let mut state = self.turns.lock();
            let mut long = false;
            match &mut self.place {
                Place::Short => state.short -= 1,
                Place::Long => long = true,
                Place::Away { .. } => state.away -= 1,
                Place::Paused { number, resumed } => {
                    // It may have been given a long place without knowing it yet.
                    long = resumed.try_recv().is_ok();
                    state.paused.retain(|paused| paused.number != *number);
                }
            }
            if long {
                state.long -= 1;
                state.user(self.who).long -= 1;
            }
            let user = state.user(self.who);
            user.begun -= 1;
            user.demoted -= usize::from(demoted);
            state.forget(self.who);
        }
        self.turns.hand_out();
    }
}
