import { Injectable } from '@nestjs/common';
import { Word, WordsRepository } from './words.repository';

const MOST_PER_PAGE = 1000;

@Injectable()
export class WordsService {
  constructor(private readonly repository: WordsRepository) {}

  async list(page: number, asked: number) {
    const limit = Math.min(asked, MOST_PER_PAGE);
    // Both at once, on two connections of the pool.
    const [rows, total] = await Promise.all([
      this.repository.findPage(limit, (page - 1) * limit),
      this.repository.count(),
    ]);
    return {
      words: rows.map(toItem),
      pagination: { page, limit, total, totalPages: Math.ceil(total / limit) },
    };
  }
}

export function toItem(word: Word) {
  return {
    id: word.id,
    hiragana: word.hiragana,
    katakana: word.katakana,
    kanji: word.kanji,
    romaji: word.romaji,
    english: word.english,
    meaning: word.english,
    pronunciationUrl: word.pronunciationUrl,
    pronunciation: word.pronunciationUrl,
    level: word.level,
    topic: word.topic,
    partOfSpeech: word.partOfSpeech,
    createdAt: word.createdAt,
  };
}
