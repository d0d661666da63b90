"""A Terraform provider that knows the google provider's schema and can do nothing.

With it the real terraform checks and evaluates our HCL where the real provider (130 MB, from a registry) can't be had:
`terraform validate` needs no more than a schema, and `terraform test` with a mocked provider does not either. Terraform starts it
as any provider: it serves protocol 5 (gRPC) on a port that it prints. The few messages are put together by hand, as the
protocol's own definition would need a compiler.
"""

import json
import pathlib
import sys
import threading
from concurrent import futures

import grpc

NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}


def varint(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | (0x80 if number else 0))
        if not number:
            return bytes(out)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value) if value else b""


def message(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def text(field: int, value: str) -> bytes:
    return message(field, value.encode())


def attribute(name: str, one: dict) -> bytes:
    return (
        text(1, name)
        + message(2, json.dumps(one["type"]).encode())
        + number(4, one.get("required", False))
        + number(5, one.get("optional", False))
        + number(6, one.get("computed", False))
        + number(7, one.get("sensitive", False))
        + number(10, one.get("write_only", False))
    )


def block(one: dict) -> bytes:
    attributes = b"".join(message(2, attribute(name, a)) for name, a in one.get("attributes", {}).items())
    return attributes + b"".join(message(3, nested(name, n)) for name, n in one.get("block_types", {}).items())


def nested(name: str, one: dict) -> bytes:
    return (
        text(1, name)
        + message(2, block(one["block"]))
        + number(3, NESTING[one["nesting_mode"]])
        + number(4, one.get("min_items", 0))
        + number(5, one.get("max_items", 0))
    )


def schema(one: dict) -> bytes:
    return number(1, one.get("version", 0)) + message(2, block(one))


def named(field: int, schemas: dict) -> bytes:
    return b"".join(message(field, text(1, name) + message(2, schema(one))) for name, one in schemas.items())


class Provider(grpc.GenericRpcHandler):
    def __init__(self, google: dict) -> None:
        self.stopped = threading.Event()
        self.schemas = (
            message(1, schema(google["provider"])) + named(2, google["resources"]) + named(3, google["data_sources"])
        )

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        answers = {
            "/tfplugin5.Provider/GetSchema": lambda _: self.schemas,
            # What was configured is echoed: request and answer have it in the same field.
            "/tfplugin5.Provider/PrepareProviderConfig": lambda request: request,
            "/tfplugin5.Provider/ValidateResourceTypeConfig": lambda _: b"",
            "/tfplugin5.Provider/ValidateDataSourceConfig": lambda _: b"",
            "/tfplugin5.Provider/Configure": lambda _: b"",
            "/tfplugin5.Provider/Stop": lambda _: b"",
            "/plugin.GRPCController/Shutdown": lambda _: self.stopped.set() or b"",
        }
        answer = answers.get(details.method)
        return answer and grpc.unary_unary_rpc_method_handler(lambda request, _: answer(request))


def main() -> None:
    provider = Provider(json.loads(pathlib.Path(sys.argv[1]).read_text()))
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(provider,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # Core protocol 1, plugin protocol 5.
    print(f"1|5|tcp|127.0.0.1:{port}|grpc|", flush=True)
    provider.stopped.wait()
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
