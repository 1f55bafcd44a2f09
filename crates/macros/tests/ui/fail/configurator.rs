//! Configurators that are not valid, as the macro finds.

use sockeye::endpoint::Configurator;
use sockeye::server_endpoint;

struct Gate;

impl Configurator for Gate {}

struct Chat;

#[server_endpoint("/twice", configurator = Gate, configurator = Gate)]
impl Chat {}

#[server_endpoint("/valueless", configurator)]
impl Chat {}

#[server_endpoint("/empty", configurator = )]
impl Chat {}

#[server_endpoint("/called", configurator(Gate))]
impl Chat {}

#[server_endpoint("/more", configurator = Gate Gate)]
impl Chat {}

fn main() {}
