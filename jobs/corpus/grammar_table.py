"""The table of the voice-assistant grammar: what can stand for each name in braces.

A comma is a pause in speaking and no part of the transcript. Numbers are spelt out.
"""

from __future__ import annotations

TABLE: dict[str, tuple[str, ...]] = {
    # What a user says.
    "request": (
        "{order}",
        "{order}",
        "{order} please",
        "please {order}",
        "could you {order}",
        "{question}",
        "{question}",
    ),
    "order": ("{timer}", "{alarm}", "{calendar}", "{telephone}", "{home}", "{music}", "{list}"),
    "question": ("{weather}", "{way}", "{ask}"),
    # Timers and alarms.
    "timer": (
        "set a timer for {duration}",
        "start a {food} timer for {duration}",
        "add {small} minutes to the {food} timer",
        "cancel the {food} timer and set one for {duration}",
        "tell me when {duration} are over",
    ),
    "duration": (
        "{small} minutes",
        "{tens} {digit} minutes",
        "{tens} seconds",
        "{small} hours and {tens} minutes",
        "one hour and {small} minutes",
    ),
    "food": ("pasta", "pizza", "egg", "cake", "rice", "tea"),
    "alarm": (
        "set an alarm for {clock} {day}",
        "wake me up at {clock} {day}",
        "move my alarm from {clock} to {clock}",
        "turn off the alarm {day}",
    ),
    "clock": (
        "{hour} o'clock",
        "{hour} {tens}",
        "{hour} {tens} {digit}",
        "half past {hour}",
        "quarter past {hour}",
        "quarter to {hour}",
        "{hour} in the {daytime}",
        "noon",
        "midnight",
    ),
    "daytime": ("morning", "afternoon", "evening"),
    # Dates and people.
    "calendar": (
        "put a {event} with {person} on my calendar for {date}",
        "move the {event} with {person} to {weekday} at {clock}",
        "remind me to {task} on {date}",
        "remind {person} to {task} {day}",
        "cancel the {event} on {date}",
        "invite {person} and {person} to the {event} {day}",
        "book a table at the {kitchen} restaurant for {clock} {day}",
    ),
    "event": ("meeting", "lunch", "dinner", "party", "lesson", "concert", "interview"),
    "task": (
        "water the plants",
        "feed the {pet}",
        "take the {pet} for a walk",
        "go to the {place}",
        "pay the rent",
        "wash the car",
        "clean the {room}",
        "call the doctor",
        "buy some {grocery}",
        "charge the phone",
        "take out the trash",
    ),
    "pet": ("cat", "dog", "rabbit"),
    "date": ("the {ordinal} of {month}", "{month} the {ordinal}", "{weekday} the {ordinal}"),
    "day": ("today", "tomorrow", "tonight", "on {weekday}", "next {weekday}", "every {weekday}"),
    "weekday": ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
    "month": (
        *("january", "february", "march", "april", "may", "june"),
        *("july", "august", "september", "october", "november", "december"),
    ),
    "ordinal": (
        *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
        *("tenth", "eleventh", "twelfth", "thirteenth", "fifteenth", "twentieth", "thirtieth"),
        *("twenty first", "twenty second", "twenty third", "twenty fifth", "thirty first"),
    ),
    "person": (
        *("emma", "oliver", "sophie", "jacob", "laura", "peter", "anna", "martin", "julia"),
        *("thomas", "sarah", "victor", "grandma", "my brother", "my sister", "the neighbors"),
    ),
    # Telephone.
    "telephone": (
        "dial {number}",
        "call {number} for me",
        "call {person} on the {line} phone",
        "save {number} as the number of {person}",
        "send {person} a message, {message}",
        "tell {person} that {message}",
    ),
    "number": (
        "{figure} {figure} {figure}, {figure} {figure} {figure} {figure}",
        "{figure} {figure}, {figure} {figure}, {figure} {figure}",
        "{figure} {figure} {figure}, double {digit}, {figure} {figure}",
        "zero {digit} {figure}, {figure} {figure} {figure} {figure}",
    ),
    "line": ("mobile", "home", "office"),
    "message": (
        "i will be {small} minutes late",
        "the {event} starts at {clock}",
        "dinner is ready in {small} minutes",
        "the train leaves at {clock}",
        "we need more {grocery}",
        "i am waiting at the {place}",
        "the {pet} is in the {room}",
    ),
    # Rooms and devices.
    "home": (
        "turn {switch} the {device} in the {room}",
        "switch {switch} the {device} and the {device} in the {room}",
        "dim the lights in the {room} to {tens} percent",
        "set the heating in the {room} to {degrees} degrees",
        "make the {lamp} in the {room} {color}",
        "set the {lamp} to {color} every {daytime}",
        "{move} the {opening} in the {room}",
        "lock the {door} door at {clock}",
    ),
    "switch": ("on", "off"),
    "device": (
        *("lights", "lamp", "fan", "heater", "television", "radio", "computer", "speaker"),
        *("coffee machine", "vacuum cleaner", "air conditioner"),
    ),
    "room": (
        *("kitchen", "bedroom", "bathroom", "living room", "dining room", "garage", "hallway"),
        *("basement", "attic", "garden", "nursery"),
    ),
    "lamp": ("lamp", "ceiling light", "floor lamp"),
    "color": ("red", "green", "blue", "yellow", "purple", "orange", "warm white"),
    "move": ("open", "close"),
    "opening": ("window", "curtains", "blinds"),
    "door": ("front", "back", "garage", "cellar"),
    # Music.
    "music": (
        "play some {genre} music in the {room}",
        "play the {ordinal} song of the {genre} album",
        "play {song} by {band}",
        "turn the volume {updown} by {tens} percent",
        "add {song} to my {genre} playlist",
        "stop the music in the {room} after {duration}",
    ),
    "genre": ("jazz", "rock", "classical", "country", "folk", "piano", "dance", "holiday"),
    "song": (
        *("silver river", "golden sky", "dancing shadows", "summer rain", "broken mirror"),
        *("lonely mountain", "crystal ocean", "paper moon"),
    ),
    "band": ("the wild horses", "the northern stars", "the velvet foxes", "the iron garden"),
    "updown": ("up", "down"),
    # Lists.
    "list": (
        "add {small} {pack} of {grocery} to the shopping list",
        "put {grocery} and {grocery} on the shopping list",
        "take {grocery} off the shopping list",
        "order {small} {pack} of {grocery} for {weekday}",
    ),
    "pack": ("boxes", "bottles", "bags", "pounds"),
    "grocery": (
        *("milk", "bread", "butter", "cheese", "apples", "bananas", "carrots", "potatoes"),
        *("onions", "sugar", "honey", "chicken", "salmon", "chocolate", "lemons"),
    ),
    # Questions.
    "weather": (
        "what is the weather like in {city} {day}",
        "will it {fall} in {city} {day}",
        "how {feel} will it be in {city} {day}",
        "is there a storm coming to {city} {day}",
        "do i need an umbrella in {city} {day}",
    ),
    "fall": ("rain", "snow", "freeze"),
    "feel": ("cold", "hot", "windy", "humid"),
    "city": (
        *("london", "paris", "berlin", "boston", "chicago", "toronto", "sydney", "madrid"),
        *("dublin", "tokyo", "vienna", "seattle"),
    ),
    "way": (
        "how long does it take to {city} by {vehicle}",
        "when does the next {vehicle} to {city} leave",
        "find a {kitchen} restaurant near the {place}",
        "how far is it from {city} to {city}",
        "is there a {place} near the {kitchen} restaurant",
        "which {vehicle} goes from the {place} to the {place}",
    ),
    "vehicle": ("train", "bus", "car", "plane", "ferry"),
    "kitchen": ("chinese", "italian", "mexican", "greek"),
    "place": ("station", "airport", "library", "museum", "hospital", "pharmacy", "bakery", "bank"),
    "ask": (
        "what time is it in {city}",
        "when is the {event} with {person} {day}",
        "is the {device} in the {room} still on",
        "did {person} call me on {weekday}",
        "how much is {tens} {digit} times {small}",
        "who plays {song}",
    ),
    # Numbers.
    "digit": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "figure": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "small": (
        *("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
        *("eighteen", "nineteen", "twenty"),
    ),
    "tens": ("twenty", "thirty", "forty", "fifty"),
    "hour": (
        *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
        *("eleven", "twelve"),
    ),
    "degrees": ("eighteen", "nineteen", "twenty", "twenty one", "twenty two", "twenty three"),
}
