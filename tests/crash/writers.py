"""Clients that write to a server at the same time, until they have sent enough, are told, or the server goes away."""

import http.client
import threading


class Writers:
    """What is sent, and what is noted of the answers, is the subclass's to say: its `load` calls `start_clients`, and
    `wrong` is its list of what should not have happened."""

    def start_clients(self, server, clients, send, requests, until):
        """Starts clients that each call `send(connection)` so many times, if that is said, or until told; a broken
        connection ends one."""

        def client():
            connection, sent = server.connect(), 0
            try:
                while (requests is None or sent < requests) and not (until and until.is_set()):
                    send(connection)
                    sent += 1
            except (OSError, http.client.HTTPException) as error:
                if not server.ended_by_us:
                    self.wrong.append(f"a connection broke although the server was not told to stop: {error}")
            finally:
                connection.close()

        threads = [threading.Thread(target=client) for _ in range(clients)]
        for thread in threads:
            thread.start()
        return threads

    def write(self, server, **how):
        """The same as `load`, and waits for all of them."""
        for thread in self.load(server, **how):
            thread.join()
