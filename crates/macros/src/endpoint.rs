//! The `impl` block of an annotated endpoint: its callbacks, and the rules among them.

use std::fmt;

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Error, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Type};

use crate::{
    argument::{Arguments, Side},
    callback::{Access, Callback},
    marker::{self, Event},
    mistake::Mistakes,
    parameter::{NO_PATH, is_path_mark, last_name, peel},
};

/// An annotated endpoint whose callbacks are valid, as far as a macro can check.
pub(crate) struct AnnotatedEndpoint {
    pub(crate) arguments: Arguments,
    pub(crate) callbacks: Vec<Callback>,
}

impl AnnotatedEndpoint {
    /// Parses the block, and removes the marks from it.
    pub(crate) fn parse(
        side: Side,
        arguments: TokenStream,
        block: &mut ItemImpl,
    ) -> syn::Result<Self> {
        let mut mistakes = Mistakes::default();
        let attribute = side.attribute();
        let arguments = mistakes.keep(Arguments::parse(side, arguments));

        if let Some((path, _)) = &block.trait_ {
            mistakes.add(Error::new_spanned(
                path,
                format!(
                    "`#[{attribute}]` implements the endpoint's traits itself; \
                     put it on an `impl` block without a trait"
                ),
            ));
        }
        let mut callbacks = Vec::new();
        let mut marked = false;
        for item in &mut block.items {
            let ImplItem::Fn(method) = item else { continue };
            if side == Side::Server && method.sig.ident == "endpoint" {
                mistakes.add(Error::new_spanned(
                    &method.sig.ident,
                    "`#[server_endpoint]` adds a function of this name; rename this one",
                ));
            }
            let mark = mistakes.keep(marker::take(&mut method.attrs)).flatten();
            let Some(mark) = mark else {
                refuse_path_marks(side, method, &mut mistakes);
                continue;
            };
            marked = true;
            if let Some(arguments) = &arguments {
                callbacks.extend(mistakes.keep(Callback::parse(mark, method, arguments)));
            }
        }
        if !marked && mistakes.is_empty() {
            mistakes.add(Error::new_spanned(
                &block.self_ty,
                "no method of this block is marked; mark one with `#[on_open]`, `#[on_message]`, \
                 `#[on_close]`, `#[on_error]` or `#[on_gap]`",
            ));
        }
        refuse_rivals(&callbacks, &mut mistakes);

        mistakes.into_result(arguments.map(|arguments| Self {
            arguments,
            callbacks,
        }))
    }

    /// Returns the methods for an event.
    pub(crate) fn callbacks(&self, event: Event) -> impl Iterator<Item = &Callback> {
        let callbacks = self.callbacks.iter();
        callbacks.filter(move |callback| callback.event == event)
    }

    /// Returns whether one object can serve many connections.
    pub(crate) fn is_shared(&self) -> bool {
        let mut callbacks = self.callbacks.iter();
        callbacks.all(|callback| callback.receiver == Access::Shared)
    }
}

/// Removes the marks of parameters from a block with mistakes, so that the compiler does not report each mark as well.
pub(crate) fn strip(block: &mut ItemImpl) {
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        for input in &mut method.sig.inputs {
            let FnArg::Typed(input) = input else { continue };
            input.attrs.retain(|attribute| !is_path_mark(attribute));
        }
    }
}

/// Refuses a method without a mark if a parameter of it has one.
fn refuse_path_marks(side: Side, method: &ImplItemFn, mistakes: &mut Mistakes) {
    let why = match side {
        Side::Client => NO_PATH,
        Side::Server => {
            "only a callback's parameters come from the path; mark the method with \
             `#[on_open]` or another event, or remove `#[path]`"
        }
    };
    for input in &method.sig.inputs {
        let FnArg::Typed(input) = input else { continue };
        if let Some(mark) = input.attrs.iter().find(|attribute| is_path_mark(attribute)) {
            mistakes.add(Error::new_spanned(mark, why));
        }
    }
}

/// Refuses two methods for the same event, and for the same kind of message.
fn refuse_rivals(callbacks: &[Callback], mistakes: &mut Mistakes) {
    for (index, callback) in callbacks.iter().enumerate() {
        let rival = callbacks.iter().take(index).find(|earlier| {
            // With a `#[cfg]` perhaps only one of the two exists. The compiler's own checks, and the assertion about
            // kinds, find the rest.
            earlier.event == callback.event
                && earlier.conditions.is_empty()
                && callback.conditions.is_empty()
                && (callback.event != Event::Message || same_kind(earlier, callback))
        });
        let Some(rival) = rival else { continue };
        let (first, second) = (&rival.name, &callback.name);
        let what = match callback.subject().and_then(MessageKind::of) {
            Some(kind) if callback.event == Event::Message => format!("takes {kind} messages"),
            _ => format!("is marked `#[{}]`", callback.event.name()),
        };
        let at = |name: &Ident, text: String| Error::new_spanned(name, text);
        mistakes.add(at(
            second,
            format!("`{first}` {what} already; make `{first}` and `{second}` one method"),
        ));
        mistakes.add(at(first, format!("`{first}` {what} here first")));
    }
}

fn same_kind(one: &Callback, other: &Callback) -> bool {
    let kind = |callback: &Callback| callback.subject().and_then(MessageKind::of);
    kind(one).is_some() && kind(one) == kind(other)
}

/// The kind of message of a type that the macro knows by its name. For other types the generated assertions find
/// rivals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MessageKind {
    Text,
    Binary,
    Pong,
}

impl MessageKind {
    fn of(ty: &Type) -> Option<Self> {
        let is = |ty: &Type, name: &str| last_name(ty).is_some_and(|last| last == name);
        match peel(ty) {
            Type::Reference(reference) => match peel(&reference.elem) {
                Type::Slice(slice) if is(&slice.elem, "u8") => Some(Self::Binary),
                target if is(target, "str") => Some(Self::Text),
                _ => None,
            },
            ty if is(ty, "String") || is(ty, "Text") || is(ty, "TextReader") => Some(Self::Text),
            ty if is(ty, "Bytes") || is(ty, "BinaryReader") => Some(Self::Binary),
            ty if is(ty, "Vec") && ty.to_token_stream().to_string().ends_with("< u8 >") => {
                Some(Self::Binary)
            }
            ty if is(ty, "Pong") => Some(Self::Pong),
            _ => None,
        }
    }
}

impl fmt::Display for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Pong => "pong",
        })
    }
}
