//! The ports that browsers block (WHATWG Fetch, "port blocking"). Servers of other protocols listen there, and a page
//! could make them read its bytes as commands.

/// The error for a blocked port.
#[derive(Debug, thiserror::Error)]
#[error("port {0} is blocked, as in browsers: it belongs to another protocol")]
pub(super) struct BlockedPort(u16);

/// Refuses the ports of the standard's list.
pub(super) fn check(port: u16) -> Result<(), BlockedPort> {
    match BLOCKED.binary_search(&port) {
        Ok(_) => Err(BlockedPort(port)),
        Err(_) => Ok(()),
    }
}

/// In ascending order.
const BLOCKED: [u16; 83] = [
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101,
    102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427,
    465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990,
    993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667,
    6668, 6669, 6679, 6697, 10080,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_the_list_are_refused_and_their_neighbours_are_not() {
        assert!(BLOCKED.is_sorted());
        for port in BLOCKED {
            assert!(check(port).is_err(), "{port}");
        }
        for port in [2, 80, 81, 443, 2050, 5062, 6670, 8080, 10081, 65_535] {
            assert!(check(port).is_ok(), "{port}");
        }
    }
}
