//! Types that do not fit: the compiler reports them, at the user's own code.
#![allow(unused_variables)]

use std::rc::Rc;

use sockeye::{Session, server_endpoint};

struct Own;

struct Types;

#[server_endpoint("/types/{n}")]
impl Types {
    #[on_open]
    fn open(&mut self, #[path] n: Own) {}

    #[on_message]
    fn message(&mut self, message: Own) {}

    #[on_close]
    fn close(&mut self) -> Own {
        Own
    }
}

struct Reply;

#[server_endpoint("/reply")]
impl Reply {
    #[on_message]
    fn message(&mut self, text: &str) -> Own {
        Own
    }
}

struct Futures;

#[server_endpoint("/futures")]
impl Futures {
    #[on_open]
    async fn open(&mut self, session: &Session) {
        let kept = Rc::new(());
        let _ = session.basic_remote().send_text("").await;
        drop(kept);
    }
}

fn main() {}
