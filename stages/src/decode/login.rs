//! How often a camera is told a password that it does not take. Pure.

/// GStreamer sends a request up to nine times while "unauthorized" is the answer to it, from the second on with the password:
/// one attempt would lock an account.
#[derive(Debug, Default)]
pub(super) struct Logins {
    /// The camera has described its stream, which it does for nobody whom it does not let in.
    let_in: bool,
    refused: u32,
}

impl Logins {
    /// The camera has described its stream.
    pub(super) fn let_in(&mut self) {
        self.let_in = true;
    }

    /// Whether a request may be sent; `refused` if it was already, with the password.
    pub(super) fn may_send(&mut self, refused: bool) -> bool {
        self.refused = if refused { self.refused.saturating_add(1) } else { 0 };
        // What was right before is right again, once it is told with the camera's new nonce.
        self.refused <= u32::from(self.let_in)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_at_the_door_is_not_told_again() {
        let mut logins = Logins::default();
        let sent = [false, false, false, true, true].map(|refused| logins.may_send(refused));
        assert_eq!(sent, [true, true, true, false, false]);
    }

    #[test]
    fn who_was_let_in_may_tell_it_anew_each_time_a_nonce_has_expired() {
        let mut logins = Logins::default();
        logins.let_in();
        let sent = [false, true, false, true, true].map(|refused| logins.may_send(refused));
        assert_eq!(sent, [true, true, true, true, false]);
    }
}
