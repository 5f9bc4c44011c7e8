"""What KEDA asks an external scaler, asked with Google's gRPC library.

usage: keda_client.py ADDRESS ask '[["IsActive", {"queue": "mail"}], …]'
       keda_client.py ADDRESS watch '{"queue": "mail"}'
       keda_client.py ADDRESS sample '{"queue": "mail"}'
       keda_client.py ADDRESS health

`ask` prints the answers as one JSON list: the message, or the status code and what it says. `watch`
prints a line for each message of StreamIsActive as it comes, then one with the status of the end.
`sample` asks what KEDA asks, ten times a second until it is killed, and prints a line each time.
With CA in the environment (and CERT and KEY) it uses TLS.
"""

import json
import os
import sys
import time
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToDict

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "proto"))
messages, services = grpc.protos_and_services("externalscaler.proto")

HEALTH = "/grpc.health.v1.Health/Check"


def channel(address):
    if "CA" not in os.environ:
        # A server that is away is tried again soon, so that no sample is missed.
        return grpc.insecure_channel(address, [("grpc.max_reconnect_backoff_ms", 100)])
    pem = {name: Path(os.environ[name]).read_bytes() for name in ("CA", "CERT", "KEY") if name in os.environ}
    credentials = grpc.ssl_channel_credentials(pem["CA"], pem.get("KEY"), pem.get("CERT"))
    return grpc.secure_channel(address, credentials)


def ask(stub, call, metadata):
    ref = messages.ScaledObjectRef(name="so", namespace="ns", scalerMetadata=metadata)
    if call == "GetMetrics":
        ref = messages.GetMetricsRequest(scaledObjectRef=ref, metricName="s0-tailback")
    try:
        answer = getattr(stub, call)(ref, timeout=10)
        if call.startswith("Stream"):
            answer = next(iter(answer))
    except grpc.RpcError as error:
        return {"code": error.code().name, "details": error.details()}
    return MessageToDict(answer, always_print_fields_with_no_presence=True)


def watch(stub, metadata):
    print("watching", flush=True)
    stream = stub.StreamIsActive(messages.ScaledObjectRef(scalerMetadata=metadata))
    try:
        for answer in stream:
            print(json.dumps({"at": time.time(), "result": answer.result}), flush=True)
    except grpc.RpcError:
        pass
    print(json.dumps({"end": stream.code().name}), flush=True)


def sample(stub, metadata):
    while True:
        calls = ("GetMetricSpec", "GetMetrics", "IsActive")
        answers = {call: ask(stub, call, metadata) for call in calls}
        print(json.dumps(answers), flush=True)
        time.sleep(0.1)


def health(connection, service):
    # HealthCheckRequest{string service = 1}, HealthCheckResponse{enum status = 1}, by hand.
    name = service.encode()
    request = b"\x0a" + bytes([len(name)]) + name if name else b""
    call = connection.unary_unary(HEALTH, lambda each: each, lambda each: each)
    return {"serving": call(request, timeout=10) == b"\x08\x01"}


def main():
    address, what, *rest = sys.argv[1:]
    with channel(address) as connection:
        stub = services.ExternalScalerStub(connection)
        if what == "ask":
            print(json.dumps([ask(stub, call, metadata) for call, metadata in json.loads(rest[0])]))
        elif what == "watch":
            watch(stub, json.loads(rest[0]))
        elif what == "sample":
            sample(stub, json.loads(rest[0]))
        else:
            names = ["", "externalscaler.ExternalScaler"]
            print(json.dumps([health(connection, name) for name in names]))


main()
