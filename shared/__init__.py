"""What two services need, or what crosses the wire between them."""

VERSION = "0.1.0"
