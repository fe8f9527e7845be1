"""The words of the micro-world: names, trades, places, things and qualities.

Read after script.py. Used by village.py, which deals them out, and by the genres. Where one word fits, so do
all of its list: every adjective of `QUALITIES` suits every thing, so nothing needs to be drawn twice.
"""

from typing import NamedTuple

__all__ = [
    "BASKETS",
    "BOYS",
    "COLOURS",
    "DAYS",
    "DRINKS",
    "FAIR_SKIES",
    "FEW",
    "FOODS",
    "GIRLS",
    "GLAD",
    "INDOORS",
    "KINDS_OF_PET",
    "LANDMARKS",
    "LANES",
    "MANNERS",
    "NUMBERS",
    "ORDINALS",
    "OUTDOORS",
    "PARTS",
    "PASTIMES",
    "PEGS",
    "PET_NAMES",
    "QUALITIES",
    "SAD",
    "SEASONS",
    "SHELVES",
    "SKIES",
    "SOFT_THINGS",
    "SPOTS",
    "STORMS",
    "THINGS",
    "TRADES",
    "Trade",
    "Word",
    "split_words",
    "with_article",
]

_CONSONANT_SOUND = ("uni", "use", "usu", "eu", "one", "ute", "uti", "uro", "ura", "ubi", "ukulele")
_SILENT_H = ("hour", "honest", "honour", "heir")


def with_article(noun: str) -> str:
    """The noun with "a" or "an", by the sound it begins with."""
    first = noun.split(maxsplit=1)[0] if noun else ""
    if len(first) > 1 and first.isupper():  # spelled out: "an ML engineer", "a UX designer"
        return f"{'an' if first[0] in 'AEFHILMNORSX' else 'a'} {noun}"
    lower = noun.lower()
    vowel = lower[:1] in "aeiou"
    if lower.startswith(_CONSONANT_SOUND):
        vowel = False
    elif lower.startswith(_SILENT_H):
        vowel = True
    return f"{'an' if vowel else 'a'} {noun}"


class Word(str):
    """A word, with its indefinite form `.a` and its form at the beginning of a sentence `.Cap`."""

    __slots__ = ("Cap", "a")
    a: str
    Cap: str

    def __new__(cls, text: str) -> "Word":
        word = super().__new__(cls, text)
        word.a = with_article(text)
        word.Cap = text[:1].upper() + text[1:]
        return word


def split_words(text: str) -> tuple[Word, ...]:
    """The words of a list with commas."""
    return tuple(Word(" ".join(word.split())) for word in text.split(","))


class Trade(NamedTuple):
    """What someone does for a living. `mends` are the things that are brought there when they break."""

    name: Word
    workplace: Word
    tool: Word
    goods: str
    mends: tuple[Word, ...]

    def __str__(self) -> str:
        return self.name

    @property
    def a(self) -> str:
        """With its article: "an innkeeper"."""
        return self.name.a


def _trade(name: str, workplace: str, tool: str, goods: str, mends: str = "") -> Trade:
    return Trade(Word(name), Word(workplace), Word(tool), goods, split_words(mends) if mends else ())


TRADES: tuple[Trade, ...] = (
    _trade("baker", "the bakery", "rolling pin", "honey rolls"),
    _trade("miller", "the mill", "scoop", "sacks of flour"),
    _trade("smith", "the smithy", "hammer", "horseshoes", "kettle, knife, spade"),
    _trade("carpenter", "the joinery", "saw", "stools", "chair, ladder, sledge"),
    _trade("weaver", "the weaving shed", "shuttle", "shawls", "blanket, scarf, rug"),
    _trade("potter", "the pottery", "sponge", "mugs", "jug, bowl, vase"),
    _trade("tailor", "the tailor's shop", "needle", "shirts", "coat, cap, apron"),
    _trade("clockmaker", "the clock shop", "magnifying glass", "pocket watches", "clock, bell, music box"),
    _trade("beekeeper", "the bee garden", "veil", "jars of honey"),
    _trade("gardener", "the nursery", "rake", "tulips"),
    _trade("shepherd", "the sheepfold", "crook", "bundles of wool"),
    _trade("bookbinder", "the bindery", "paper knife", "notebooks", "book, map, album"),
    _trade("fisher", "the jetty", "fishing rod", "smoked trout"),
    _trade("innkeeper", "the inn", "ladle", "bowls of soup"),
    _trade("candlemaker", "the candle shop", "dipping frame", "candles"),
    _trade("glazier", "the glassworks", "glass cutter", "bottles", "mirror, lamp, lantern"),
    _trade("saddler", "the saddlery", "awl", "belts", "saddle, satchel, purse"),
    _trade("cooper", "the cooperage", "mallet", "barrels", "bucket, tub, cask"),
    _trade("basket maker", "the willow shed", "pruning hook", "hampers", "basket, cradle, birdcage"),
    _trade("painter", "the studio", "brush", "painted signs"),
    _trade("cheesemaker", "the dairy", "cheese wire", "round cheeses"),
    _trade("ropemaker", "the ropewalk", "spindle", "washing lines", "net, hammock, swing"),
    _trade("fiddle maker", "the music shop", "chisel", "whistles", "fiddle, drum, flute"),
    _trade("toymaker", "the toy shop", "lathe", "puppets", "kite, doll, rocking horse"),
)

GIRLS = split_words(
    "Alda, Briony, Cosima, Delia, Elsbeth, Fenna, Greta, Hilda, Ilse, Jorun, Katrin, Linnea, Mirthe, "
    "Nerys, Odile, Petra, Quilla, Runa, Signe, Thora, Ulla, Vigdis, Wilma, Yrsa"
)
BOYS = split_words(
    "Anselm, Bram, Corwin, Detlef, Edmund, Floris, Gregor, Hamish, Ivo, Jasper, Konrad, Leopold, Magnus, "
    "Nils, Osric, Piet, Quentin, Rufus, Stellan, Tobias, Ulrich, Volker, Wolfram, Yannick"
)
LANES = split_words(
    "Apple Lane, Rose Lane, Fox Lane, Bell Lane, Thistle Lane, Swan Lane, Copper Lane, Juniper Lane, Owl "
    "Lane, Hazel Lane"
)
LANDMARKS = split_words(
    "the old well, the stone bridge, the market square, the chapel, the great oak, the river, the pond, "
    "the orchard, the village green, the watchtower, the crossroads, the ford, the fountain, the "
    "footbridge, the lime tree, the long meadow"
)
KINDS_OF_PET = split_words("cat, dog, goat, hen, donkey, rabbit, duck, pony, parrot, tortoise, sheep, goose")
PET_NAMES = split_words(
    "Fig, Button, Pepper, Biscuit, Clover, Mop, Nettle, Pudding, Acorn, Barley, Crumb, Dandy, Ember, "
    "Fidget, Ginger, Hopper, Ink, Jolly, Kipper, Lark, Muffin, Nutmeg, Otter, Pickle, Quill, Rascal, "
    "Smoky, Tansy, Velvet, Whisper, Ziggy, Pebble, Comet, Dusty, Sorrel, Turnip, Waffle, Moss, Cobweb, "
    "Thimble"
)
FOODS = split_words(
    "plum cake, pea soup, apple pie, roast goose, cherry jam, potato salad, onion tart, rice pudding, "
    "baked pears, bean stew, almond bread, cheese dumplings, carrot cake, mushroom pie, pancakes, fish "
    "stew, walnut cake, red cabbage, lemon tart, barley soup"
)
PASTIMES = split_words(
    "fishing, flying kites, whittling, singing, playing chess, dancing, reading, knitting, skating, "
    "juggling, telling riddles, picking berries, watching birds, playing the flute, drawing, climbing "
    "trees, collecting stones, swimming, stargazing, playing marbles"
)
THINGS: tuple[Word, ...] = tuple(thing for trade in TRADES for thing in trade.mends)
SOFT_THINGS = frozenset(
    split_words(
        "blanket, scarf, rug, coat, cap, apron, book, map, album, satchel, purse, basket, net, hammock, kite"
    )
)
"""What tears; the other things break."""
"""What people own, lose, lend and break: each is mended by one trade."""
QUALITIES = split_words(
    "red, blue, green, yellow, white, black, brown, grey, purple, little, big, old, new, plain, pretty, "
    "shabby, shiny, dusty, painted, heavy, orange, pink, tiny, huge, striped, spotted, faded, clean, "
    "muddy, golden, silver, handsome"
)
COLOURS = QUALITIES[:9]
SKIES = split_words(
    "misty, sunny, windy, cloudy, rainy, stormy, mild, bright, grey, chilly, quiet, wet, dull, fresh, "
    "cool, damp, breezy, gloomy, hazy, fair"
)
FAIR_SKIES = split_words("sunny, mild, bright, quiet, cloudless, warm, calm, pleasant")
SEASONS = split_words("spring, summer, autumn, winter")
INDOORS = split_words(
    "under the bench, behind the door, on the top shelf, beside the stove, under the stairs, in the "
    "cellar, in the attic, inside an old chest, under the bed, on the windowsill, under the table, in a "
    "cupboard, in the kitchen, behind the curtain, beside the fireplace, in the hallway"
)
OUTDOORS = split_words(
    "in the hay, in the long grass, behind the woodpile, on the garden wall, beneath a heap of leaves, "
    "between two barrels, at the foot of a tree, behind the hedge, beside the gate, under a bush, in a "
    "ditch, under a wheelbarrow, behind the barn, on a tree stump"
)
SPOTS = INDOORS + OUTDOORS
SHELVES = split_words("under the bench, on the top shelf, on the windowsill, on the table, by the door")
PEGS = split_words("beside the stove, behind the door, by the fire, over a chair")
GLAD = split_words(
    "glad, happy, pleased, delighted, cheerful, content, proud, merry, grateful, relieved, thankful, "
    "satisfied"
)
SAD = split_words(
    "sad, worried, cross, unhappy, upset, gloomy, puzzled, anxious, miserable, nervous, annoyed, disappointed"
)
MANNERS = split_words(
    "gladly, cheerfully, quietly, slowly, quickly, carefully, eagerly, with a smile, with a laugh, with "
    "great care, proudly, happily, politely, calmly, patiently, in a hurry, with a nod"
)
NUMBERS = split_words(
    "two, three, four, five, six, seven, eight, nine, ten, eleven, twelve, thirteen, fourteen, fifteen, "
    "sixteen, seventeen, eighteen, nineteen, twenty"
)
ORDINALS = split_words("first, second, third, fourth, fifth, sixth, seventh, eighth, last")
FEW = NUMBERS[:5]
"""As many as one can eat, or hours one can wait."""
DRINKS = split_words(
    "hot milk, mint tea, apple juice, cocoa, ginger tea, honey water, blackcurrant juice, warm cider, "
    "pear juice, rosehip tea, buttermilk, elderflower water, barley coffee, lime blossom tea"
)
BASKETS = split_words(
    "apples, pears, plums, eggs, onions, carrots, walnuts, mushrooms, cherries, turnips, blackberries, "
    "potatoes, hazelnuts, strawberries, beans, radishes, cabbages, apricots, raspberries, leeks"
)
DAYS = split_words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday")
PARTS = split_words("morning, afternoon, evening")
STORMS = split_words("rain, hail, pour, thunder")
