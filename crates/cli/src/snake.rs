//! `/snake`: each client has a snake in one field. Ten times a second all snakes move, and the server sends the field to
//! all clients.
//!
//! A client sends the direction of a turn: `n`, `e`, `s` or `w`. The server sends JSON objects in text messages:
//!
//! ```json
//! {"type":"welcome","width":40,"height":30,"you":4}
//! {"type":"field","food":[3,4],"snakes":[{"id":4,"color":4,"score":2,"best":9,"alive":true,"body":[7,8,6,8,5,8]}]}
//! ```
//!
//! - A body is x and y in turn, the head first. The field has no borders: a snake that leaves it enters on the other side.
//! - A snake that eats grows, up to a length of 80. A snake that runs into a body, also its own, is dead for two seconds
//!   and starts again. The other snake grows.
//! - Two turns may wait, one for each move. A turn straight back is ignored, and so is any other text of up to 64 bytes.
//!   A longer text closes the connection with 1009.
//! - The server reads a client that sends more than 50 messages a second, or 100 at once after a pause, more slowly.
//! - Each message has the whole field. While one message waits for a slow client, the client misses the next ones. 32
//!   clients may play. The next client is closed with 1013.

use std::collections::VecDeque;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use serde::Serialize;
use sockeye::endpoint::SendHandle;
use sockeye::proto::PreparedMessage;
use sockeye::{CloseCode, Session, server_endpoint};
use tokio::time::{MissedTickBehavior, interval};

use crate::pace::{Pace, Rate, rate};

/// The size limit of a message, in bytes. A turn is one letter.
pub(crate) const MAX_COMMAND: u64 = 64;

/// A handle of the shared field.
#[derive(Clone, Debug)]
pub(crate) struct Field(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    game: Game,
    players: Vec<Player>,
    moves: bool,
}

/// A client to which the field is sent.
#[derive(Debug)]
struct Player {
    id: u64,
    session: Session,
    // The last message, until it is written.
    last: Option<SendHandle>,
}

/// The endpoint of one connection.
#[derive(Debug)]
pub(crate) struct Snake {
    field: Field,
    id: Option<u64>,
    pace: Pace,
}

impl Snake {
    pub(crate) fn new(field: Field) -> Self {
        Self {
            field,
            id: None,
            pace: Pace::new(RATE),
        }
    }
}

#[server_endpoint("/snake")]
impl Snake {
    #[on_open]
    fn enter(&mut self, session: &Session) {
        self.id = self.field.enter(session);
    }

    #[on_message]
    async fn heard(&mut self, session: &Session, text: &str) {
        self.pace.turn(session).await;
        if let (Some(id), Some(turn)) = (self.id, Direction::parse(text)) {
            self.field.lock().game.turn(id, turn);
        }
    }
}

/// Removes the snake, however the session ends.
impl Drop for Snake {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut state = self.field.lock();
            state.players.retain(|player| player.id != id);
            state.game.remove(id);
        }
    }
}

impl Default for Field {
    fn default() -> Self {
        let seed = RandomState::new().hash_one("field");
        Self(Arc::new(Mutex::new(State {
            game: Game::new(seed),
            players: Vec::new(),
            moves: false,
        })))
    }
}

impl Field {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a player. Returns its number, or `None` if the field is full.
    fn enter(&self, session: &Session) -> Option<u64> {
        let mut state = self.lock();
        if state.players.len() >= MAX_PLAYERS {
            let closed = session.close(CloseCode::TRY_AGAIN_LATER, "the field is full");
            debug_assert!(closed.is_ok(), "1013 may be sent");
            return None;
        }
        let id = state.game.add();
        let welcome = Event::Welcome {
            width: WIDTH,
            height: HEIGHT,
            you: id,
        };
        // The outbox is empty, so this fails only if the connection is closing.
        let _ = session.async_remote().send_text(welcome.to_json());
        state.players.push(Player {
            id,
            session: session.clone(),
            last: None,
        });
        if !std::mem::replace(&mut state.moves, true) {
            tokio::spawn(self.clone().run());
        }
        Some(id)
    }

    /// Moves all snakes while there is a player.
    async fn run(self) {
        let mut moves = interval(PERIOD);
        moves.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            moves.tick().await;
            let mut state = self.lock();
            if state.players.is_empty() {
                state.moves = false;
                return;
            }
            state.game.advance();
            let message = PreparedMessage::new(state.game.to_json());
            for player in &mut state.players {
                player.tell(&message);
            }
        }
    }
}

impl Player {
    /// Sends the field, unless the last message is not written yet. The next message has the whole field again, so no old
    /// messages pile up.
    fn tell(&mut self, message: &PreparedMessage) {
        let mut cx = Context::from_waker(Waker::noop());
        if let Some(last) = &mut self.last
            && Pin::new(last).poll(&mut cx).is_pending()
        {
            return;
        }
        self.last = self.session.async_remote().send(message).ok();
    }
}

/// The game, without sockets and time.
#[derive(Debug)]
struct Game {
    snakes: Vec<Body>,
    food: Vec<Cell>,
    random: u64,
    next_id: u64,
}

/// A snake.
#[derive(Debug)]
struct Body {
    id: u64,
    // The head first. Empty while it is dead.
    cells: VecDeque<Cell>,
    length: usize,
    direction: Direction,
    turns: VecDeque<Direction>,
    // The number of moves for which it stays dead.
    dead: u32,
    score: u32,
    best: u32,
}

type Cell = (u16, u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    North,
    East,
    South,
    West,
}

impl Direction {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "n" => Self::North,
            "e" => Self::East,
            "s" => Self::South,
            "w" => Self::West,
            _ => return None,
        })
    }

    fn is_opposite(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::North, Self::South)
                | (Self::South, Self::North)
                | (Self::East, Self::West)
                | (Self::West, Self::East)
        )
    }

    fn from(self, (x, y): Cell) -> Cell {
        match self {
            Self::North => (x, (y + HEIGHT - 1) % HEIGHT),
            Self::East => ((x + 1) % WIDTH, y),
            Self::South => (x, (y + 1) % HEIGHT),
            Self::West => ((x + WIDTH - 1) % WIDTH, y),
        }
    }
}

impl Game {
    fn new(seed: u64) -> Self {
        let mut game = Self {
            snakes: Vec::new(),
            food: Vec::new(),
            random: seed,
            next_id: 1,
        };
        for _ in 0..FOOD {
            let cell = game.free_cell();
            game.food.push(cell);
        }
        game
    }

    fn add(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let mut snake = Body {
            id,
            cells: VecDeque::new(),
            length: FIRST_LENGTH,
            direction: Direction::East,
            turns: VecDeque::new(),
            dead: 0,
            score: 0,
            best: 0,
        };
        snake.cells.push_back(self.free_cell());
        self.snakes.push(snake);
        id
    }

    fn remove(&mut self, id: u64) {
        self.snakes.retain(|snake| snake.id != id);
    }

    fn turn(&mut self, id: u64, turn: Direction) {
        let snake = self.snakes.iter_mut().find(|snake| snake.id == id);
        if let Some(snake) = snake
            && snake.turns.len() < MAX_TURNS
        {
            snake.turns.push_back(turn);
        }
    }

    /// Moves all snakes at once. Their positions after the move decide which ones die.
    fn advance(&mut self) {
        for at in 0..self.snakes.len() {
            self.move_one(at);
        }
        let mut dead = Vec::new();
        let mut hit = Vec::new();
        for snake in &self.snakes {
            let Some(head) = snake.cells.front() else {
                continue;
            };
            for other in &self.snakes {
                // The head of a snake does not collide with itself.
                let own = usize::from(other.id == snake.id);
                if other.cells.iter().skip(own).any(|cell| cell == head) {
                    dead.push(snake.id);
                    if own == 0 {
                        hit.push(other.id);
                    }
                    break;
                }
            }
        }
        for snake in &mut self.snakes {
            if dead.contains(&snake.id) {
                snake.die();
            } else {
                let kills = hit.iter().filter(|id| **id == snake.id).count();
                (0..kills).for_each(|_| snake.grow());
            }
        }
    }

    fn move_one(&mut self, at: usize) {
        let start = self.free_cell();
        let Some(snake) = self.snakes.get_mut(at) else {
            return;
        };
        let Some(head) = snake.cells.front() else {
            snake.dead = snake.dead.saturating_sub(1);
            if snake.dead == 0 {
                snake.cells.push_back(start);
            }
            return;
        };
        while let Some(turn) = snake.turns.pop_front() {
            if turn != snake.direction && !turn.is_opposite(snake.direction) {
                snake.direction = turn;
                break;
            }
        }
        let next = snake.direction.from(*head);
        snake.cells.push_front(next);
        let eaten = self.food.iter().position(|food| *food == next);
        if eaten.is_some() {
            snake.grow();
        }
        snake.cells.truncate(snake.length);
        if let Some(food) = eaten.and_then(|eaten| self.food.get_mut(eaten)) {
            // The cell was chosen before the move. Another snake may be there now, and eats at once.
            *food = start;
        }
    }

    /// Returns a random cell without snake and food. The field is mostly free, so a few tries suffice; after 100 tries
    /// any cell is taken.
    fn free_cell(&mut self) -> Cell {
        let mut cell = (0, 0);
        for _ in 0..100 {
            cell = (self.below(WIDTH), self.below(HEIGHT));
            let taken = self.snakes.iter().any(|snake| snake.cells.contains(&cell));
            if !taken && !self.food.contains(&cell) {
                break;
            }
        }
        cell
    }

    /// Returns a random number by SplitMix64. It need not be unpredictable: it only places food and snakes.
    fn below(&mut self, limit: u16) -> u16 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let below = (mixed ^ (mixed >> 31)) % u64::from(limit);
        u16::try_from(below).unwrap_or(0)
    }

    fn to_json(&self) -> String {
        let flat = |cells: &mut dyn Iterator<Item = &Cell>| -> Vec<u16> {
            cells.flat_map(|(x, y)| [*x, *y]).collect()
        };
        let snakes = self.snakes.iter().map(|snake| Seen {
            id: snake.id,
            color: snake.id % COLORS,
            score: snake.score,
            best: snake.best,
            alive: !snake.cells.is_empty(),
            body: flat(&mut snake.cells.iter()),
        });
        let event = Event::Field {
            food: flat(&mut self.food.iter()),
            snakes: snakes.collect(),
        };
        event.to_json()
    }
}

impl Body {
    fn grow(&mut self) {
        self.length = MAX_LENGTH.min(self.length + 1);
        self.score += 1;
        self.best = self.best.max(self.score);
    }

    fn die(&mut self) {
        self.cells.clear();
        self.turns.clear();
        self.length = FIRST_LENGTH;
        self.score = 0;
        self.dead = DEAD;
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event {
    Welcome { width: u16, height: u16, you: u64 },
    Field { food: Vec<u16>, snakes: Vec<Seen> },
}

/// A snake in a message.
#[derive(Debug, Serialize)]
struct Seen {
    id: u64,
    color: u64,
    score: u32,
    best: u32,
    alive: bool,
    body: Vec<u16>,
}

impl Event {
    fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an event is JSON")
    }
}

const PERIOD: Duration = Duration::from_millis(100);
const WIDTH: u16 = 40;
const HEIGHT: u16 = 30;
const MAX_PLAYERS: usize = 32;
/// The rate at which a connection may send turns. Only ten a second have an effect.
const RATE: Rate = rate(50, 100);
const MAX_TURNS: usize = 2;
const MAX_LENGTH: usize = 80;
const FIRST_LENGTH: usize = 5;
const FOOD: usize = 4;
const COLORS: u64 = 8;
/// How long a snake is dead, in moves.
const DEAD: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a game with snakes at these places, and without food in their way.
    fn game(snakes: &[(&[Cell], Direction)]) -> Game {
        let mut game = Game::new(1);
        game.food.clear();
        for (cells, direction) in snakes {
            game.add();
            let snake = game.snakes.last_mut().unwrap();
            snake.cells = cells.iter().copied().collect();
            snake.length = cells.len();
            snake.direction = *direction;
        }
        game
    }

    fn cells(game: &Game, at: usize) -> Vec<Cell> {
        game.snakes[at].cells.iter().copied().collect()
    }

    use Direction::{East, North, South, West};

    #[test]
    fn a_snake_moves_and_comes_in_on_the_other_side() {
        for (direction, from, to) in [
            (North, (3, 0), (3, HEIGHT - 1)),
            (South, (3, HEIGHT - 1), (3, 0)),
            (West, (0, 3), (WIDTH - 1, 3)),
            (East, (WIDTH - 1, 3), (0, 3)),
        ] {
            let mut game = game(&[(&[from], direction)]);
            game.advance();
            assert_eq!(cells(&game, 0), [to]);
        }
    }

    #[test]
    fn turns_wait_for_a_move_each_and_none_goes_straight_back() {
        let mut game = game(&[(&[(10, 10), (9, 10), (8, 10)], East)]);
        // A turn back is ignored, and a third turn does not fit.
        for turn in ["w", "s", "e"] {
            game.turn(1, Direction::parse(turn).unwrap());
        }
        game.advance();
        assert_eq!(cells(&game, 0)[0], (10, 11));
        game.advance();
        assert_eq!(cells(&game, 0)[0], (10, 12));
        // A turn of an unknown snake is ignored.
        game.turn(99, North);
        for text in ["", "N", "north", "n ", "🐍"] {
            assert_eq!(Direction::parse(text), None);
        }
    }

    #[test]
    fn a_snake_that_eats_grows_up_to_a_limit_and_there_is_food_elsewhere() {
        let mut game = game(&[(&[(10, 10), (9, 10)], East)]);
        game.food = vec![(11, 10)];
        game.advance();
        assert_eq!(cells(&game, 0), [(11, 10), (10, 10), (9, 10)]);
        assert_eq!(game.snakes[0].score, 1);
        assert_ne!(game.food, [(11, 10)]);
        for _ in 0..1000 {
            game.snakes[0].grow();
        }
        assert_eq!(game.snakes[0].length, MAX_LENGTH);
    }

    #[test]
    fn a_snake_that_runs_into_a_body_is_dead_for_a_while_and_the_other_grows() {
        let mut game = game(&[
            (&[(10, 10), (9, 10)], East),
            (&[(11, 9), (11, 10), (11, 11)], North),
        ]);
        game.advance();
        assert_eq!(cells(&game, 0), []);
        assert_eq!((game.snakes[1].length, game.snakes[1].score), (4, 1));
        (1..DEAD).for_each(|_| game.advance());
        assert_eq!(cells(&game, 0), []);
        game.advance();
        assert_eq!(cells(&game, 0).len(), 1);
        assert_eq!(game.snakes[0].length, FIRST_LENGTH);
    }

    #[test]
    fn two_heads_that_meet_are_both_dead_and_so_is_a_snake_that_bites_itself() {
        let mut met = game(&[(&[(10, 10)], East), (&[(12, 10)], West)]);
        met.advance();
        assert!(cells(&met, 0).is_empty() && cells(&met, 1).is_empty());
        let coil = [(10, 10), (10, 11), (11, 11), (11, 10), (11, 9)];
        let mut bitten = game(&[(&coil, East)]);
        bitten.advance();
        assert_eq!(cells(&bitten, 0), []);
    }

    #[test]
    fn a_field_with_the_most_and_longest_snakes_is_a_message_of_modest_size() {
        let mut game = Game::new(7);
        for _ in 0..MAX_PLAYERS {
            game.add();
        }
        for snake in &mut game.snakes {
            snake.length = MAX_LENGTH;
            snake.cells = (0..MAX_LENGTH).map(|_| (39, 29)).collect();
        }
        assert!(game.to_json().len() < 32 * 1024);
    }

    #[tokio::test]
    async fn as_many_play_as_may_and_a_place_is_free_when_one_leaves() {
        let field = Field::default();
        let shared = field.clone();
        let endpoint = Snake::endpoint(move |_| Snake::new(shared.clone()));
        let builder = sockeye::Server::builder().endpoint(endpoint);
        let server = builder.bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/snake", server.local_addr());
        tokio::spawn(server.serve());
        let mut players = Vec::new();
        for _ in 0..MAX_PLAYERS {
            let mut player = sockeye::connect(&*url).await.unwrap();
            let welcome = player.recv().await.unwrap().expect("a welcome");
            assert!(welcome.to_string().contains("welcome"), "{welcome}");
            players.push(player);
        }
        let mut late = sockeye::connect(&*url).await.unwrap();
        assert!(late.recv().await.unwrap().is_none());
        let told = late.close_received().expect("a Close");
        assert_eq!(told.code(), CloseCode::TRY_AGAIN_LATER);
        let leaves = players.pop().expect("one of many");
        drop(leaves);
        // The snake is gone when the server has seen the close.
        while field.lock().players.len() == MAX_PLAYERS {
            tokio::task::yield_now().await;
        }
        let mut next = sockeye::connect(&*url).await.unwrap();
        assert!(next.recv().await.unwrap().is_some());
        // Without players nothing moves.
        drop((players, next));
        while field.lock().moves {
            tokio::task::yield_now().await;
        }
        assert!(field.lock().game.snakes.is_empty());
    }

    #[test]
    fn after_any_turns_the_game_stays_within_its_bounds() {
        let mut game = Game::new(3);
        let ids: Vec<u64> = (0..MAX_PLAYERS).map(|_| game.add()).collect();
        for step in 0..2000 {
            let turns = [North, East, South, West];
            let chosen = ids[usize::from(game.below(32))];
            let turn = turns[usize::from(game.below(4))];
            game.turn(chosen, turn);
            game.advance();
            if step == 1000 {
                game.remove(ids[0]);
            }
            let inside = |(x, y): &Cell| *x < WIDTH && *y < HEIGHT;
            assert!(
                game.snakes
                    .iter()
                    .all(|snake| snake.cells.iter().all(inside) && snake.cells.len() <= MAX_LENGTH)
            );
            assert_eq!(game.food.len(), FOOD);
        }
    }
}
