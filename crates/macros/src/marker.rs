//! The marks of callback methods: finds them on a method, and makes the error for a mark outside of an endpoint's
//! `impl` block.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Attribute, Error, Expr, Ident, Meta, Path, Token, parse::ParseStream};

/// The event that a callback handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Open,
    Message,
    Close,
    Error,
    Gap,
}

impl Event {
    /// Returns the name of the mark. The trait's method has the same name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "on_open",
            Self::Message => "on_message",
            Self::Close => "on_close",
            Self::Error => "on_error",
            Self::Gap => "on_gap",
        }
    }

    /// Returns the event of an attribute's path, if it is a mark: `on_open` or `sockeye::endpoint::on_open`.
    fn from_path(path: &Path) -> Option<Self> {
        let segments: Vec<_> = path.segments.iter().map(|part| &part.ident).collect();
        let (name, module) = segments.split_last()?;
        let is_ours = match module {
            [] => true,
            [krate, module] => *krate == "sockeye" && *module == "endpoint",
            _ => false,
        };
        let events = [
            Self::Open,
            Self::Message,
            Self::Close,
            Self::Error,
            Self::Gap,
        ];
        events
            .into_iter()
            .find(|event| is_ours && *name == event.name())
    }
}

/// The mark of a method.
pub(crate) struct Mark {
    pub(crate) event: Event,
    /// The longest message that the method takes, in bytes: `#[on_message(max = 65536)]`.
    pub(crate) max: Option<Expr>,
}

/// Removes the mark from a method's attributes, and returns it. A method without a mark is not a callback.
pub(crate) fn take(attributes: &mut Vec<Attribute>) -> syn::Result<Option<Mark>> {
    let mut found: Option<Event> = None;
    let mut max = None;
    let mut mistake = Ok(());
    attributes.retain(|attribute| {
        let Some(event) = Event::from_path(attribute.path()) else {
            return true;
        };
        match (event, &attribute.meta) {
            (_, Meta::Path(_)) => {}
            (Event::Message, Meta::List(list)) => match list.parse_args_with(parse_max) {
                Ok(bytes) => max = Some(bytes),
                Err(error) => mistake = Err(error),
            },
            (Event::Message, Meta::NameValue(_)) => {
                mistake = Err(Error::new_spanned(attribute, MAX_FORM));
            }
            (event, _) => {
                let name = event.name();
                mistake = Err(Error::new_spanned(
                    attribute,
                    format!("`#[{name}]` takes no arguments; write `#[{name}]` alone"),
                ));
            }
        }
        if let Some(first) = found {
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
    mistake.map(|()| found.map(|event| Mark { event, max }))
}

/// Parses the content of the parentheses of `#[on_message(max = 65536)]`.
fn parse_max(input: ParseStream<'_>) -> syn::Result<Expr> {
    let refuse = |error: Error| Error::new(error.span(), MAX_FORM);
    let name: Ident = input.parse().map_err(refuse)?;
    if name != "max" {
        return Err(Error::new(
            name.span(),
            format!(
                "`{name}` is not an argument of `#[on_message]`; it takes `max = 65536`, in bytes"
            ),
        ));
    }
    input.parse::<Token![=]>().map_err(refuse)?;
    let bytes: Expr = input.parse().map_err(refuse)?;
    input.parse::<Option<Token![,]>>()?;
    if !input.is_empty() {
        return Err(Error::new(
            input.span(),
            "`#[on_message]` takes one argument; write `#[on_message(max = 65536)]`",
        ));
    }
    Ok(bytes)
}

const MAX_FORM: &str = "the longest message that a method takes is given in bytes; write \
                        `#[on_message(max = 65536)]`, or `#[on_message]` alone";

/// Returns the error for a mark that the compiler expands: such a mark is not in an annotated `impl` block.
pub(crate) fn outside(name: &str, item: &TokenStream) -> TokenStream {
    let message = format!(
        "`#[{name}]` marks a method of an endpoint; put `#[server_endpoint(\"/path\")]` or \
         `#[client_endpoint]` on the `impl` block around it"
    );
    let error = Error::new(Span::call_site(), message).into_compile_error();
    quote!(#error #item)
}
