//! The arguments of the attributes: the content of the parentheses of `#[server_endpoint("/path", …)]` and of
//! `#[client_endpoint]`.

use proc_macro2::{Span, TokenStream};
use syn::{
    Error, Expr, Ident, LitStr, Token, bracketed,
    ext::IdentExt,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
};

use crate::template::{Segment, Template};

/// The end of a connection for which an attribute makes an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    /// Returns the attribute's name.
    pub(crate) fn attribute(self) -> &'static str {
        match self {
            Self::Client => "client_endpoint",
            Self::Server => "server_endpoint",
        }
    }
}

/// The valid arguments of an attribute.
pub(crate) enum Arguments {
    /// No arguments: the URL and the request of a client are set on its `Client`.
    Client,
    Server(Box<ServerArguments>),
}

/// The arguments of `#[server_endpoint]`: the path, the subprotocols, the configurator, and the word `topics`.
pub(crate) struct ServerArguments {
    pub(crate) path: LitStr,
    pub(crate) subprotocols: Vec<LitStr>,
    pub(crate) configurator: Option<Expr>,
    /// The word `topics`, if it is written.
    pub(crate) topics: Option<Ident>,
    template: Template,
}

impl Arguments {
    pub(crate) fn parse(side: Side, arguments: TokenStream) -> syn::Result<Self> {
        match side {
            Side::Client => refuse_arguments.parse2(arguments).map(|()| Self::Client),
            Side::Server => syn::parse2(arguments).map(|server| Self::Server(Box::new(server))),
        }
    }

    /// Returns the arguments of a server's endpoint; `None` for a client's.
    pub(crate) fn server(&self) -> Option<&ServerArguments> {
        match self {
            Self::Client => None,
            Self::Server(server) => Some(server),
        }
    }
}

impl ServerArguments {
    /// Returns whether the path has a variable of this name.
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.variables().any(|variable| variable == name)
    }

    /// Returns the names of the path's variables, from left to right.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &str> {
        let segments = self.template.segments().iter();
        segments.filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Variable(name) => Some(&**name),
        })
    }

    /// Returns the path as it was written.
    pub(crate) fn template(&self) -> &str {
        self.template.as_str()
    }
}

impl Parse for ServerArguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Err(Error::new(Span::call_site(), PATH_MISSING));
        }
        let path: LitStr = input
            .parse()
            .map_err(|error| Error::new(error.span(), PATH_MISSING))?;
        let template = Template::parse(&path.value())
            .map_err(|error| Error::new(path.span(), error.to_string()))?;

        let mut subprotocols = None;
        let mut configurator = None;
        let mut topics = None;
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let name: Ident = input.parse()?;
            if name == "subprotocols" {
                let twice = "`subprotocols` is given twice; write one list of all of them";
                refuse_second(&name, subprotocols.is_some(), twice)?;
                input.parse::<Token![=]>()?;
                subprotocols = Some(parse_subprotocols(input)?);
            } else if name == "configurator" {
                let twice = "`configurator` is given twice; an endpoint has one configurator, so remove one of the two";
                let refuse = |_| Error::new(name.span(), CONFIGURATOR_FORM);
                refuse_second(&name, configurator.is_some(), twice)?;
                input.parse::<Token![=]>().map_err(refuse)?;
                configurator = Some(input.parse().map_err(refuse)?);
            } else if name == "topics" {
                let twice = "`topics` is given twice; remove one of the two";
                refuse_second(&name, topics.is_some(), twice)?;
                if !input.is_empty() && !input.peek(Token![,]) {
                    return Err(input.error("`topics` takes no value; write the word alone"));
                }
                topics = Some(name);
            } else {
                return Err(Error::new(
                    name.span(),
                    format!(
                        "`{name}` is not an argument of `#[server_endpoint]`; after the path it takes \
                         `subprotocols = [\"…\"]`, `configurator = …` and `topics`"
                    ),
                ));
            }
        }
        Ok(Self {
            path,
            subprotocols: subprotocols.unwrap_or_default(),
            configurator,
            topics,
            template,
        })
    }
}

fn refuse_second(name: &Ident, is_given: bool, twice: &str) -> syn::Result<()> {
    if is_given {
        return Err(Error::new(name.span(), twice));
    }
    Ok(())
}

/// Refuses all arguments of `#[client_endpoint]`. For those of a server's attribute the error names the method of
/// `Client`.
fn refuse_arguments(input: ParseStream<'_>) -> syn::Result<()> {
    if input.is_empty() {
        return Ok(());
    }
    let span = input.span();
    let name = input.call(Ident::parse_any).map(|name| name.to_string());
    Err(Error::new(
        span,
        match name.as_deref() {
            Ok("subprotocols") => {
                "a client's subprotocols are set on its `Client`; write `#[client_endpoint]`, \
                 and give them to `Client::subprotocols`"
            }
            Ok("configurator") => {
                "a configurator decides about a server's handshakes; write `#[client_endpoint]`, and set \
                 the request's fields on the `Client`"
            }
            Ok("topics") => {
                "a server's endpoint lets its clients use topics; write `#[client_endpoint]`"
            }
            Ok(_) => "`#[client_endpoint]` takes no arguments; write it alone",
            Err(_) => {
                "a client's endpoint has no path; write `#[client_endpoint]`, and give the URL to \
                 `Client::connect_endpoint`"
            }
        },
    ))
}

fn parse_subprotocols(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    let list;
    bracketed!(list in input);
    let names: Vec<LitStr> = Punctuated::<LitStr, Token![,]>::parse_terminated(&list)?
        .into_iter()
        .collect();
    for (index, name) in names.iter().enumerate() {
        let value = name.value();
        if value.is_empty() || !value.bytes().all(is_token_byte) {
            return Err(Error::new(
                name.span(),
                "the name of a subprotocol is a token; write letters, digits and any of \
                 `!#$%&'*+-.^_|~` and the backtick",
            ));
        }
        if names
            .iter()
            .take(index)
            .any(|earlier| earlier.value() == value)
        {
            return Err(Error::new(
                name.span(),
                format!("the subprotocol `{value}` is listed twice; remove one"),
            ));
        }
    }
    Ok(names)
}

/// RFC 6455 §4.1: the elements of `Sec-WebSocket-Protocol` are tokens of HTTP.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

const PATH_MISSING: &str = "an endpoint needs the path that it is served at; write \
                            `#[server_endpoint(\"/chat/{room}\")]`";

const CONFIGURATOR_FORM: &str = "a configurator is an expression whose value implements \
                                 `Configurator`; write `configurator = Gate`";
