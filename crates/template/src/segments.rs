//! The segments of a path or of a topic's name.

/// An iterator over the segments of a path: the texts between its slashes. It is smaller than that of `str::split`, which a
/// search copies at each node.
#[derive(Clone, Debug)]
pub struct Segments<'p> {
    rest: Option<&'p str>,
}

/// Returns the texts between the slashes of a path. There is one more than there are slashes.
pub fn segments(path: &str) -> Segments<'_> {
    Segments { rest: Some(path) }
}

impl<'p> Iterator for Segments<'p> {
    type Item = &'p str;

    fn next(&mut self) -> Option<&'p str> {
        let rest = self.rest?;
        match rest.bytes().position(|byte| byte == b'/') {
            Some(slash) => {
                self.rest = Some(&rest[slash + 1..]);
                Some(&rest[..slash])
            }
            None => self.rest.take(),
        }
    }
}
