"""Sends a campaign every ten seconds or so: more work at once than the workers can do, and not more
than they can do until the next one."""

import random
import time

from app import app, send_email, write_invoice, write_report


def fan_out():
    with app.producer_or_acquire() as producer:
        for customer in range(random.randint(250, 500)):
            send_email.apply_async([customer], producer=producer)
            if customer % 4 == 0:
                # Paying customers first.
                priority = random.choice([0, 6])
                write_invoice.apply_async([customer], priority=priority, producer=producer)
        for number in range(6):
            write_report.apply_async([number], producer=producer)
        # A reminder for later.
        send_email.apply_async([0], countdown=30, producer=producer)


while True:
    fan_out()
    time.sleep(random.uniform(8, 12))
