"""WebSocket connections that take so many bytes and frames, and no more; uvicorn takes any."""

from collections import deque
from typing import Any, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from maskwise.serving.connection import ReadTimer
from maskwise.serving.held import HELD, Share
from maskwise.serving.problems import ProblemError

STATE: Final = "camera"
"""Name under which the application finds the connection in a socket's state."""
_SLICE: Final = 4096
"""Bytes that are parsed before the frames in them are counted: of empty ones, 2 ms of work."""
_BURST: Final = 512.0
"""Frames that may come at once, beyond those that are paid for by their bytes."""
_PER_SECOND: Final = 256.0
"""Frames more that may come in each second."""
_PAYS_FOR_FRAME: Final = 512
"""Bytes that pay for a frame: large pictures may come in fragments."""
_MOST_TEXT: Final = 16 * 1024
"""Bytes of a text, and of what comes before the application has let the camera in."""
_MOST_EARLY_FRAMES: Final = 16
"""Frames that may come before the application has let the camera in."""
_MOST_UNREAD: Final = 8_000_000
"""Bytes that may still be on their way when a socket is closed."""
_READ_SECONDS: Final = 10.0
"""Seconds in which a client must have read its answers."""
_CLOSING: Final = 1.0
"""Seconds in which a client may answer that its socket is closed."""


class CameraConnection(WebSocketsSansIOProtocol):
    """A WebSocket that is closed where it sends too much, too fast, or before it is let in.

    All that it sent and the application has not finished with is counted among the bytes that the
    process holds for its clients.
    """

    def __init__(self, *words: Any, **more: Any) -> None:
        super().__init__(*words, **more)
        self.close_timeout = _CLOSING
        self._share: Share = self.app_state[HELD].share()
        self.app_state = {**self.app_state, STATE: self}
        self._let_in = self._left = False
        self._reading = ReadTimer(_READ_SECONDS)
        self._unread = 0
        """Bytes that came after the last word."""
        self._allowance, self._counted_at = _BURST, self.loop.time()
        self._early_frames = self._early_bytes = 0
        self._partial = 0
        """Bytes of a frame that has yet to come in whole."""
        self._fragments = 0
        """Bytes of the fragments of a message that has yet to come in whole."""
        self._sizes: deque[int] = deque()
        """Bytes of each message that waits for the application."""
        self._in_work = 0
        """Bytes of the message that the application has."""

    def let_in(self) -> None:
        """Take pictures from now on: the camera may be watched."""
        self._let_in = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything that was sent."""
        self._share.hold(0)
        self._reading.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for a client that does not read its answers, and not for ever."""
        super().pause_writing()
        self._reading.start(self)

    def resume_writing(self) -> None:
        """Go on: the client reads."""
        self._reading.stop()
        super().resume_writing()

    def keepalive_timeout(self) -> None:
        """Close what answers no ping, also if it reads nothing."""
        super().keepalive_timeout()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take in what came, slice by slice, as far as it may come."""
        if self._left:
            self._unread += len(data)
            if self._unread > _MOST_UNREAD:
                self.transport.close()
        for start in range(0, len(data), _SLICE):
            if self._left or self.transport.is_closing():
                return
            self._take(data[start : start + _SLICE])

    def handle_text(self, event: Frame) -> None:
        """Begin a message."""
        self._fragments = len(event.data)
        super().handle_text(event)

    def handle_bytes(self, event: Frame) -> None:
        """Begin a message."""
        self._fragments = len(event.data)
        super().handle_bytes(event)

    def handle_cont(self, event: Frame) -> None:
        """Add a fragment to a message."""
        self._fragments += len(event.data)
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand a message on, if it is not too long for a text."""
        size, self._fragments = self._fragments, 0
        if self.curr_msg_data_type == "text" and size > _MOST_TEXT:
            self._refuse(CloseCode.MESSAGE_TOO_BIG, f"a text of more than {_MOST_TEXT} bytes")
            return
        if not self.close_sent:
            self._sizes.append(size)
        super().send_receive_event_to_app()

    async def receive(self) -> Any:
        """Return the next message; the application has finished with the one before."""
        self._in_work = 0
        if not self.close_sent:
            self._count_bytes()
        event = await super().receive()
        if event["type"] == "websocket.receive":
            self._in_work = self._sizes.popleft()
        return event

    async def send(self, message: Any) -> None:
        """Send what the application says."""
        await super().send(message)
        if message["type"] == "websocket.close":
            self.loop.call_later(2 * _CLOSING, self.transport.abort)
        if self.initial_response is not None and self.close_sent:
            self.handshake_complete = True  # it was refused; uvicorn would log that as an error

    def _take(self, data: bytes) -> None:
        self.conn.receive_data(data)
        frames = len(self.conn.events)
        self._partial = 0 if frames else self._partial + len(data)
        if not self._may_send(frames, len(data)):
            return
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()
            self.close_sent = True
            self._leave()
        else:
            self.handle_events()
        if self._left:
            return
        try:
            self._count_bytes()
        except ProblemError as problem:
            self._refuse(CloseCode.TRY_AGAIN_LATER, problem.document.detail)

    def _may_send(self, frames: int, size: int) -> bool:
        """Return whether so many frames and bytes may come now; refuse them if not."""
        now = self.loop.time()
        earned = (now - self._counted_at) * _PER_SECOND
        self._counted_at = now
        cost = frames - size / _PAYS_FOR_FRAME
        self._allowance = min(self._allowance + earned, _BURST) - max(cost, 0)
        if self._allowance < 0:
            self._refuse(CloseCode.POLICY_VIOLATION, "too many frames")
            return False
        if self._let_in:
            return True
        # neither the request's head counts, nor what came in one piece with the first message
        if self.handshake_initiated and not self.read_paused:
            self._early_frames += frames
            self._early_bytes += size
        if self._early_frames > _MOST_EARLY_FRAMES or self._early_bytes > _MOST_TEXT:
            self._refuse(CloseCode.POLICY_VIOLATION, "send the key first, then pictures")
            return False
        return True

    def _count_bytes(self) -> None:
        """Count what is held of this connection.

        Raises:
            ProblemError: There is no room for it.
        """
        self._share.hold(self._partial + self._fragments + sum(self._sizes) + self._in_work)

    def _refuse(self, code: CloseCode, reason: str) -> None:
        """Say why, and close."""
        if not self.handshake_complete:
            self.transport.abort()
            return
        if not self.close_sent:
            self.close_sent = True
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.conn.fail(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        self._leave()

    def _leave(self) -> None:
        """Close soon: at once, what is on its way here would take the last word from the client."""
        self._left = True
        self.stop_keepalive()
        self.transport.resume_reading()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(_CLOSING, self.transport.abort)
