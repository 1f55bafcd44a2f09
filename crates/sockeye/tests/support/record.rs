//! A record of the events of a browser's object.

use std::sync::{Arc, Mutex};

use sockeye::browser::{CloseEvent, WebSocket};

/// Every event of an object, in order, as a text.
pub(crate) type Record = Arc<Mutex<Vec<String>>>;

/// Sets all handlers of an object to tell of their events.
pub(crate) fn record(ws: &WebSocket) -> Record {
    let record = Record::default();
    let tell = |record: &Record| {
        let record = Arc::clone(record);
        move |event: String| record.lock().expect("no panic").push(event)
    };
    let opened = tell(&record);
    ws.on_open(move |ws| opened(format!("open {:?} {:?}", ws.ready_state(), ws.protocol())));
    let came = tell(&record);
    ws.on_message(move |ws, event| came(format!("message {} {:?}", event.data, ws.ready_state())));
    let failed = tell(&record);
    ws.on_error(move |ws, _| failed(format!("error {:?}", ws.ready_state())));
    let closed = tell(&record);
    ws.on_close(move |ws, event| {
        let CloseEvent {
            code,
            reason,
            was_clean,
            ..
        } = event;
        closed(format!(
            "close {code} {reason:?} {was_clean} {:?}",
            ws.ready_state()
        ));
    });
    record
}

pub(crate) fn events(record: &Record) -> Vec<String> {
    record.lock().expect("no panic").clone()
}
