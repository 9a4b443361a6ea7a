# /// script
# requires-python = ">=3.11"
# [tool.gatewright]
# description = "Length of the shifts of a plant around the changes of the clock, and what UTC they are."
# ///
"""Shifts in plant time: a night shift is an hour longer in autumn and an hour shorter in spring."""

import calendar
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

PLANTS = {
    "Duluth": "America/Chicago",
    "Essen": "Europe/Berlin",
    "Pune": "Asia/Kolkata",
    "Nowhere": "Europe/Atlantis",
}
SHIFTS = {"early": time(6), "late": time(14), "night": time(22)}
ORDER = list(SHIFTS)


def zone_of(plant):
    try:
        return ZoneInfo(PLANTS[plant])
    except ZoneInfoNotFoundError:
        return None


def last_sunday(year, month):
    days = calendar.monthcalendar(year, month)
    return date(year, month, max(week[calendar.SUNDAY] for week in days))


def start_of(day, shift, zone):
    return datetime.combine(day, SHIFTS[shift], tzinfo=zone)


def end_of(day, shift, zone):
    following = ORDER[(ORDER.index(shift) + 1) % len(ORDER)]
    if following == "early":
        day += timedelta(days=1)
    return start_of(day, following, zone)


def length(day, shift, zone):
    """Real hours: both ends in UTC, else Python subtracts what the clocks on the wall say."""
    begin = start_of(day, shift, zone).astimezone(timezone.utc)
    return (end_of(day, shift, zone).astimezone(timezone.utc) - begin) / timedelta(hours=1)


def report(plant, days):
    zone = zone_of(plant)
    if zone is None:
        print(f"{plant}: there is no time zone {PLANTS[plant]}")
        return {}
    hours = {}
    print(f"{plant} ({zone.key})")
    for day in days:
        for shift in ORDER:
            begin = start_of(day, shift, zone)
            took = length(day, shift, zone)
            hours[f"{day} {shift}"] = took
            mark = "" if took == 8 else "  <-- change of the clock"
            utc = begin.astimezone(timezone.utc)
            print(f"  {day:%a %d %b %Y} {shift:5} {begin:%H:%M %Z} = {utc:%H:%M} UTC {took:4.1f} h{mark}")
    return hours


def main():
    autumn = last_sunday(2026, 10)
    days = [autumn - timedelta(days=1), autumn, date(2026, 3, 28)]
    table = {plant: report(plant, days) for plant in PLANTS}
    odd = {plant: sorted(k for k, v in hours.items() if v != 8) for plant, hours in table.items()}
    print("zones known:", "yes" if len(available_timezones()) > 100 else "no")
    print("shifts of other lengths:", {plant: found for plant, found in odd.items() if found})
    return odd


if __name__ == "__main__":
    result = main()
