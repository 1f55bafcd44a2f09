//! The marks of callback methods: finding them on a method, and what they say outside of an
//! endpoint's `impl` block.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Attribute, Error, Meta, Path};

/// What a callback is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Open,
    Message,
    Close,
    Error,
}

impl Event {
    /// The name of the mark, which is that of the trait's method too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "on_open",
            Self::Message => "on_message",
            Self::Close => "on_close",
            Self::Error => "on_error",
        }
    }

    /// What a path marks, if it is a mark: `on_open` or `sockeye::on_open`.
    fn from_path(path: &Path) -> Option<Self> {
        let name = path.segments.last()?;
        let ours = match path.segments.len() {
            1 => true,
            2 => path.segments.first()?.ident == "sockeye",
            _ => false,
        };
        let events = [Self::Open, Self::Message, Self::Close, Self::Error];
        events
            .into_iter()
            .find(|event| ours && name.ident == event.name())
    }
}

/// Takes the marks from a method's attributes; a method that has none is no callback.
pub(crate) fn take(attributes: &mut Vec<Attribute>) -> syn::Result<Option<Event>> {
    let mut found: Option<Event> = None;
    let mut mistake = Ok(());
    attributes.retain(|attribute| {
        let Some(event) = Event::from_path(attribute.path()) else {
            return true;
        };
        let name = event.name();
        if !matches!(attribute.meta, Meta::Path(_)) {
            mistake = Err(Error::new_spanned(
                attribute,
                format!("`#[{name}]` takes no arguments; write `#[{name}]` alone"),
            ));
        } else if let Some(first) = found {
            mistake = Err(Error::new_spanned(
                attribute,
                format!(
                    "the method is marked `#[{}]` already; give each callback a method of its own",
                    first.name()
                ),
            ));
        }
        found = found.or(Some(event));
        false
    });
    mistake.map(|()| found)
}

/// A mark that the compiler expands itself, so that no `#[server_endpoint]` stands around it.
pub(crate) fn outside(name: &str, item: &TokenStream) -> TokenStream {
    let message = format!(
        "`#[{name}]` marks a method of an endpoint; put `#[server_endpoint(\"/path\")]` on the \
         `impl` block around it"
    );
    let error = Error::new(Span::call_site(), message).into_compile_error();
    quote!(#error #item)
}
