"""sslcourse comes before torch: when torch is imported, how its threads wait is settled for good."""

import sslcourse  # noqa: F401
