//! The generated methods of `Endpoint` or `SharedEndpoint`. Each makes the arguments of its callback, calls it, and
//! converts the result.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Type, spanned::Spanned};

use super::{
    Expansion,
    kind::{kind_of, without_lifetimes},
};
use crate::{
    callback::Callback,
    marker::Event,
    parameter::{Parameter, peel},
};

impl Expansion<'_> {
    /// Returns `on_open`, `on_close` or `on_gap`.
    pub(super) fn outcome_method(&self, event: Event) -> TokenStream {
        let receiver = self.receiver();
        let Self {
            session, subject, ..
        } = self;
        let name = format_ident!("{}", event.name());
        let parameter = match event {
            Event::Close => Some(quote!(#subject: ::sockeye::CloseReason)),
            Event::Gap => Some(quote!(#subject: &::sockeye::topics::Gap)),
            _ => None,
        };
        let methods = self.endpoint.callbacks(event).map(|callback| {
            let conditions = &callback.conditions;
            let call = self.call(callback, |fallible| quote!(#fallible?));
            let (value, convert) = conversion(callback, "IntoOutcome", "into_outcome");
            // If the future is not `Send`, the error points to the user's method.
            quote_spanned! {blaming(callback.name.span())=>
                #(#conditions)*
                async fn #name(
                    #receiver,
                    #session: &::sockeye::Session,
                    #parameter
                ) -> ::sockeye::HandlerResult {
                    let #value = #call;
                    #convert
                }
            }
        });
        quote!(#(#methods)*)
    }

    /// Returns `on_message`, even if there is no callback for it. The trait's default drops messages, but an annotated
    /// endpoint refuses the kinds that it has no method for.
    pub(super) fn message_method(&self) -> TokenStream {
        let receiver = self.receiver();
        let Self {
            session,
            subject,
            kind,
            ..
        } = self;
        let assertions = self
            .rivals(true)
            .map(|(conditions, assertion)| quote!(#conditions { const { #assertion } }));
        let arms = self.endpoint.callbacks(Event::Message).map(|callback| {
            let conditions = &callback.conditions;
            let own = kind_of(callback);
            if callback.is_at_once() {
                let at_once = self.at_once();
                return quote! {
                    #(#conditions)*
                    if const { #own }.include(#kind) {
                        return ::sockeye::__private::at_once(#subject, |lent| {
                            #at_once::on_message_at_once(self, #session, lent)
                        });
                    }
                };
            }
            let call = self.call(callback, |fallible| quote!(#fallible?));
            let (value, convert) = conversion(callback, "IntoReply", "into_reply");
            quote! {
                #(#conditions)*
                if const { #own }.include(#kind) {
                    let #value = #call;
                    return #convert;
                }
            }
        });
        quote! {
            async fn on_message<'message>(
                #receiver,
                #session: &::sockeye::Session,
                #subject: ::sockeye::endpoint::Incoming<'message>,
            ) -> ::sockeye::HandlerResult<::sockeye::endpoint::Reply<'message>> {
                #(#assertions)*
                let #kind = #subject.kind();
                #(#arms)*
                ::std::result::Result::Ok(::sockeye::__private::unsupported(#session, #kind))
            }
        }
    }

    /// Returns `on_message_at_once`, if a callback is not `async` and borrows its message. Such a call needs no future,
    /// and no buffer of its own.
    pub(super) fn message_at_once_method(&self) -> TokenStream {
        let receiver = self.receiver();
        let Self {
            session,
            subject,
            kind,
            ..
        } = self;
        let callbacks = self.endpoint.callbacks(Event::Message);
        let arms: Vec<TokenStream> = callbacks
            .filter(|callback| callback.is_at_once())
            .map(|callback| {
                let conditions = &callback.conditions;
                let own = kind_of(callback);
                let call = self.call(callback, |fallible| {
                    quote! {
                        match #fallible {
                            ::std::result::Result::Ok(value) => value,
                            ::std::result::Result::Err(error) => {
                                let error = ::std::result::Result::Err(error);
                                return ::std::option::Option::Some(error);
                            }
                        }
                    }
                });
                let (value, convert) = conversion(callback, "IntoReply", "into_reply");
                quote! {
                    #(#conditions)*
                    if const { #own }.include(#kind) {
                        let #value = #call;
                        return ::std::option::Option::Some(#convert);
                    }
                }
            })
            .collect();
        if arms.is_empty() {
            return TokenStream::new();
        }
        quote! {
            #[inline]
            fn on_message_at_once<'message>(
                #receiver,
                #session: &::sockeye::Session,
                #subject: ::sockeye::__private::WholeMessage<'message>,
            ) -> ::std::option::Option<::sockeye::HandlerResult<::sockeye::endpoint::Reply<'message>>> {
                let #kind = ::sockeye::__private::kind_of(#subject);
                #(#arms)*
                ::std::option::Option::None
            }
        }
    }

    /// Returns the trait with the methods.
    fn at_once(&self) -> TokenStream {
        if self.endpoint.is_shared() {
            quote!(::sockeye::endpoint::SharedEndpoint)
        } else {
            quote!(::sockeye::Endpoint)
        }
    }

    pub(super) fn error_method(&self) -> TokenStream {
        let receiver = self.receiver();
        let Self {
            session, subject, ..
        } = self;
        let methods = self.endpoint.callbacks(Event::Error).map(|callback| {
            let conditions = &callback.conditions;
            // If a parameter of the path does not parse here, no callback can get the error: it is logged.
            let call = self.call(callback, |fallible| {
                quote! {
                    match #fallible {
                        ::std::result::Result::Ok(value) => value,
                        ::std::result::Result::Err(error) => {
                            return ::sockeye::__private::unreported(#session, &error);
                        }
                    }
                }
            });
            quote_spanned! {blaming(callback.name.span())=>
                #(#conditions)*
                async fn on_error(
                    #receiver,
                    #session: &::sockeye::Session,
                    #subject: &::sockeye::Error,
                ) {
                    #call
                }
            }
        });
        quote!(#(#methods)*)
    }

    fn receiver(&self) -> TokenStream {
        if self.endpoint.is_shared() {
            quote!(&self)
        } else {
            quote!(&mut self)
        }
    }

    /// Returns the call of a callback, for the trait's method of its event. `unwrap` wraps an expression of type
    /// `Result`: the wrapped expression has the value, or returns with the error.
    fn call(
        &self,
        callback: &Callback,
        unwrap: impl Fn(TokenStream) -> TokenStream,
    ) -> TokenStream {
        let Self {
            session, subject, ..
        } = self;
        let mut arguments = Vec::new();
        let mut bindings = Vec::new();
        for (index, parameter) in callback.parameters.iter().enumerate() {
            let value = match parameter {
                Parameter::Session => quote!(#session),
                Parameter::Path { variable, parsed } => unwrap(match parsed {
                    None => quote!(::sockeye::__private::path_text(#session, #variable)),
                    Some(ty) => quote_spanned! {ty.span()=>
                        ::sockeye::__private::path::<#ty>(#session, #variable)
                    },
                }),
                Parameter::Subject { ty } => match (callback.event, peel(ty)) {
                    (Event::Message, _) if callback.is_at_once() => {
                        let ty = without_lifetimes(ty, &callback.lifetimes);
                        unwrap(quote_spanned! {ty.span()=>
                            <#ty as ::sockeye::__private::Lent<'message>>::from_lent(#subject)
                        })
                    }
                    (Event::Message, _) => {
                        let ty = without_lifetimes(ty, &callback.lifetimes);
                        unwrap(quote_spanned! {ty.span()=>
                            <#ty as ::sockeye::endpoint::Argument<'message>>::from_message(#subject)
                        })
                    }
                    (Event::Close, Type::Reference(_)) => quote!(&#subject),
                    _ => quote!(#subject),
                },
            };
            // Each argument is bound first: a `Result` among the arguments would stay in the future until the callback
            // returns.
            let argument = format_ident!("argument{index}", span = Span::mixed_site());
            bindings.push(quote!(let #argument = #value;));
            arguments.push(argument);
        }
        let name = &callback.name;
        let suspension = callback.is_async.then(|| quote!(.await));
        quote! {{
            #(#bindings)*
            Self::#name(self, #(#arguments),*) #suspension
        }}
    }
}

/// Returns a name for the result of a method, and the expression that converts the result. If there is no conversion,
/// the error points to the method's return type.
fn conversion(callback: &Callback, convert: &str, function: &str) -> (Ident, TokenStream) {
    let convert = format_ident!("{convert}");
    let function = format_ident!("{function}");
    let value = Ident::new("value", callback.output);
    let call = quote_spanned!(callback.output=> ::sockeye::endpoint::#convert::#function(#value));
    (value, call)
}

/// Returns a span that errors show as `span`, but whose names are resolved as this macro's.
fn blaming(span: Span) -> Span {
    Span::call_site().located_at(span)
}
